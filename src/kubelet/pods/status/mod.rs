//! A pod's status, computed from what is wished, seen and remembered. Pure.

mod conditions;
mod containers;
mod phase;

use std::net::IpAddr;

pub use conditions::{BY_KUBELET, OWNED};
pub use containers::{Shown, Told};
pub use phase::Phase;

use super::allocate::Pending;
use super::plan::{Ending, Memory, Steps, Waiting};
use super::seen::Seen;
use crate::kubelet::cgroups::qos::QosClass;
use crate::kubelet::spec::{Pod, Role};
use crate::object::tree::json;
use crate::object::{Timestamp, Tree};

/// What a status is made from.
pub struct Facts<'a> {
    pub pod: &'a Pod,
    pub seen: &'a Seen,
    pub memory: &'a Memory,
    pub steps: &'a Steps,
    pub ending: Option<&'a Ending>,
    /// Why the pod has less than it asks for.
    pub pending: Option<&'a Pending>,
    pub host_ips: &'a [IpAddr],
    /// When the kubelet first saw the pod.
    pub start_time: Timestamp,
    pub now: Timestamp,
}

pub fn status_of(facts: &Facts) -> Tree {
    let pod = facts.pod;
    let mut told = containers::tell(pod, facts.seen, facts.memory, facts.steps);
    let old = &pod.status;
    let old_phase = old.get("phase").and_then(Tree::as_str).and_then(Phase::parse);
    let is_over = facts.steps.is_over && facts.ending.is_some();
    if is_over && !old_phase.is_some_and(Phase::is_terminal) {
        containers::close(&mut told);
    }
    let phase = settle(phase::phase_of(pod, &told, is_over), old_phase, facts, &told);
    let has_sandbox = facts.seen.sandboxes.first().is_some_and(|sandbox| sandbox.is_ready);

    let mut status = json!({
        "phase": phase.as_str(),
        "observedGeneration": pod.metadata.generation,
        "conditions": conditions::conditions(facts, &told, phase, has_sandbox),
        "startTime": facts.start_time,
        "qosClass": old.get("qosClass").and_then(Tree::as_str).unwrap_or(QosClass::of(&pod.spec).as_str()),
    });
    for key in ["nominatedNodeName", "resourceClaimStatuses", "resize", "extendedResourceClaimStatus"] {
        if let Some(kept) = old.get(key) {
            status[key] = kept.clone();
        }
    }
    reason(&mut status, phase, old_phase, facts);
    addresses(&mut status, facts);
    container_lists(&mut status, pod, &told);
    status
}

/// A phase that is final stays; a pod is not final while something of it runs, and is when nothing will.
fn settle(phase: Phase, old: Option<Phase>, facts: &Facts, told: &[Told]) -> Phase {
    if let Some(old) = old.filter(|old| old.is_terminal()) {
        return old;
    }
    let something_runs = told.iter().any(Told::is_running);
    let is_over = facts.steps.is_over && facts.ending.is_some();
    let fails = failure(facts.ending).is_some() || (is_over && !phase.is_terminal());
    let phase = if fails { Phase::Failed } else { phase };
    if phase.is_terminal() && something_runs { Phase::Running } else { phase }
}

/// Reason and message of a pod that fails because of how it ends.
fn failure(ending: Option<&Ending>) -> Option<(&'static str, &str)> {
    match ending? {
        Ending::DeadlineExceeded => {
            Some(("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
        }
        Ending::Evicted(eviction) => Some(("Evicted", &eviction.message)),
        Ending::Deleted | Ending::Terminal => None,
    }
}

fn reason(status: &mut Tree, phase: Phase, old_phase: Option<Phase>, facts: &Facts) {
    if let Some((reason, message)) = failure(facts.ending).filter(|_| phase == Phase::Failed) {
        status["reason"] = reason.into();
        status["message"] = message.into();
    } else if Some(phase) == old_phase {
        for key in ["reason", "message"] {
            if let Some(kept) = facts.pod.status.get(key) {
                status[key] = kept.clone();
            }
        }
    }
}

fn addresses(status: &mut Tree, facts: &Facts) {
    let ip_list = |ips: &[String]| -> Tree { ips.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>().into() };
    let host: Vec<String> = facts.host_ips.iter().map(IpAddr::to_string).collect();
    if let Some(first) = host.first() {
        status["hostIP"] = first.as_str().into();
        status["hostIPs"] = ip_list(&host);
    }
    let of_sandbox = facts.seen.sandboxes.first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
    let pod_ips = if facts.pod.spec.host_network { host } else { of_sandbox };
    if let Some(first) = pod_ips.first() {
        status["podIP"] = first.as_str().into();
        status["podIPs"] = ip_list(&pod_ips);
    } else {
        // A stopped sandbox has no address any more; the one it had stays on record.
        for key in ["podIP", "podIPs"] {
            if let Some(kept) = facts.pod.status.get(key) {
                status[key] = kept.clone();
            }
        }
    }
}

fn container_lists(status: &mut Tree, pod: &Pod, told: &[Told]) {
    let lists = [
        (Role::Init, "initContainerStatuses"),
        (Role::Main, "containerStatuses"),
        (Role::Ephemeral, "ephemeralContainerStatuses"),
    ];
    for (role, key) in lists {
        let mut of_role: Vec<&Told> = told.iter().filter(|one| one.role == role).collect();
        if role != Role::Init {
            of_role.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let trees: Vec<Tree> =
            of_role.iter().filter_map(|one| Some(containers::to_tree(one, pod.container(&one.name)?.1))).collect();
        if !trees.is_empty() {
            status[key] = trees.into();
        }
    }
}

/// The status of a pod that this node will not run.
pub fn rejected(pod: &Pod, why: &Waiting, start_time: Timestamp) -> Tree {
    let mut status = pod.status.clone();
    if !status.is_object() {
        status = json!({});
    }
    status["phase"] = "Failed".into();
    status["reason"] = why.reason.as_str().into();
    status["message"] = format!("Pod was rejected: {}", why.message).into();
    status["startTime"] = start_time.into();
    status["observedGeneration"] = pod.metadata.generation.into();
    status["qosClass"] = QosClass::of(&pod.spec).as_str().into();
    status
}

#[cfg(test)]
mod tests;
