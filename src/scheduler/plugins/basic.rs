//! Names, labels, taints and ports.

use crate::client::Seen;
use crate::object::view::{Node, Taint, node_matches, untolerated};
use crate::scheduler::framework::{Attempt, Refusal, normalize};
use crate::scheduler::info::NodeInfo;

fn node(info: &NodeInfo) -> &Seen<Node> {
    info.node.as_ref().expect("only nodes that exist are looked at")
}

pub fn is_schedulable(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    let taint =
        Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
    let may_anyway = || attempt.pod.pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(&taint));
    match node(info).spec.unschedulable && !may_anyway() {
        true => Err(Refusal::never("node(s) were unschedulable")),
        false => Ok(()),
    }
}

pub fn is_named(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    let wanted = &attempt.pod.pod.spec.node_name;
    match wanted.is_empty() || *wanted == info.name {
        true => Ok(()),
        false => Err(Refusal::never("node(s) didn't match the requested node name")),
    }
}

pub fn is_tolerated(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    let effects = ["NoSchedule", "NoExecute"];
    match untolerated(&node(info).spec.taints, &attempt.pod.pod.spec.tolerations, &effects) {
        Some(_) => Err(Refusal::never("node(s) had untolerated taint(s)")),
        None => Ok(()),
    }
}

pub fn is_selected(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    let spec = &attempt.pod.pod.spec;
    match node_matches(&spec.node_selector, spec.affinity.as_deref(), &node(info).meta().labels, &info.name) {
        true => Ok(()),
        false => Err(Refusal::never("node(s) didn't match Pod's node affinity/selector")),
    }
}

pub fn has_ports(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    match info.has_port_clash(&attempt.pod.ports) {
        true => Err(Refusal::not_now("node(s) didn't have free ports for the requested pod ports")),
        false => Ok(()),
    }
}

/// Nodes with few taints that say "rather not" and that the pod does not tolerate.
pub fn fewest_unliked_taints(attempt: &Attempt, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let tolerations = &attempt.pod.pod.spec.tolerations;
    let unliked = |taint: &&Taint| {
        taint.effect == "PreferNoSchedule" && !tolerations.iter().any(|toleration| toleration.tolerates(taint))
    };
    let counts = nodes.iter().map(|info| node(info).spec.taints.iter().filter(unliked).count() as i64);
    Some(normalize(counts.collect(), true))
}

/// Nodes that the pod's node affinity would like.
pub fn most_preferred(attempt: &Attempt, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let affinity = attempt.pod.pod.spec.affinity.as_ref()?.node_affinity.as_ref()?;
    if affinity.preferred.is_empty() {
        return None;
    }
    let sum = |info: &&NodeInfo| {
        let liked = affinity.preferred.iter();
        let liked = liked.filter(|term| term.preference.matches(&node(info).meta().labels, &info.name));
        liked.map(|term| term.weight).sum()
    };
    Some(normalize(nodes.iter().map(sum).collect(), false))
}
