//! One attempt to place a pod: filter, score, choose.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cluster::Cluster;
use super::framework::{Attempt, SCORES, Unfit};
use super::info::{NodeInfo, PodRef};
use crate::object::Key;

pub enum Decision {
    /// `claims` have to be told about the node, and be bound, before the pod can be.
    Place {
        node: String,
        claims: Vec<Key>,
        next_start: usize,
    },
    Refused(Diagnosis),
}

/// Why a pod could not be placed.
#[derive(Debug, Default)]
pub struct Diagnosis {
    pub total: usize,
    /// What stands in the way on every node, whatever the node.
    pub general: Option<String>,
    pub nodes: Vec<(String, Unfit)>,
}

/// Below this many nodes all are looked at.
const SAMPLE_MIN: usize = 100;

/// How many fitting nodes are enough to choose from: a share that shrinks as clusters grow.
fn enough(total: usize) -> usize {
    if total <= SAMPLE_MIN {
        return total;
    }
    let percent = 50usize.saturating_sub(total / 125).max(5);
    (total * percent / 100).max(SAMPLE_MIN)
}

/// Chooses a node. Nodes are looked at from `start` on, so that each gets its turn; `tie` picks
/// among equals.
pub fn schedule(cluster: &Cluster, pod: &PodRef, start: usize, tie: u64) -> Decision {
    let total = cluster.len();
    let attempt = match Attempt::new(pod, cluster) {
        Ok(attempt) => attempt,
        Err(why) => return Decision::Refused(Diagnosis { total, general: Some(why), nodes: Vec::new() }),
    };
    if let Some(info) = nominated_node(&attempt).filter(|info| fits(&attempt, info).is_ok()) {
        return Decision::Place { node: info.name.clone(), claims: attempt.volumes.keys(), next_start: start };
    }
    let wanted = enough(total);
    let (mut fitting, mut refused, mut seen) = (Vec::new(), Vec::new(), 0);
    for (_, info) in cluster.nodes_from(start) {
        seen += 1;
        match fits(&attempt, info) {
            Ok(()) => fitting.push(info),
            Err(unfit) => refused.push((info.name.clone(), unfit)),
        }
        if fitting.len() >= wanted {
            break;
        }
    }
    match choose(&attempt, &fitting, tie) {
        Some(info) => Decision::Place {
            node: info.name.clone(),
            claims: attempt.volumes.keys(),
            next_start: (start + seen) % total.max(1),
        },
        None => Decision::Refused(Diagnosis { total, general: None, nodes: refused }),
    }
}

fn nominated_node<'a>(attempt: &Attempt<'a>) -> Option<&'a NodeInfo> {
    attempt.cluster.node(&attempt.pod.pod.status.nominated_node_name).filter(|info| info.node.is_some())
}

/// Whether the pod fits, now and when the pods have come that the node was promised to.
pub fn fits(attempt: &Attempt, info: &NodeInfo) -> Result<(), Unfit> {
    let priority = attempt.pod.pod.priority();
    let promised = attempt.cluster.nominated(&info.name).iter();
    let mut promised =
        promised.filter(|other| other.pod.priority() >= priority && other.uid() != attempt.pod.uid()).peekable();
    if promised.peek().is_some() {
        let mut fuller = info.clone();
        promised.for_each(|other| fuller.add(other.clone()));
        attempt.check(&fuller)?;
    }
    attempt.check(info)
}

fn choose<'n>(attempt: &Attempt, fitting: &[&'n NodeInfo], tie: u64) -> Option<&'n NodeInfo> {
    if fitting.len() <= 1 {
        return fitting.first().copied();
    }
    let mut totals = vec![0i64; fitting.len()];
    for score in SCORES {
        if let Some(rated) = (score.rate)(attempt, fitting) {
            totals.iter_mut().zip(rated).for_each(|(total, rated)| *total += score.weight * rated);
        }
    }
    let best = *totals.iter().max()?;
    let equals: Vec<usize> = (0..fitting.len()).filter(|index| totals[*index] == best).collect();
    equals.get((tie % equals.len() as u64) as usize).map(|index| fitting[*index])
}

impl Diagnosis {
    /// The plugins that refused some node.
    pub fn plugins(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.nodes.iter().map(|(_, unfit)| unfit.plugin).collect();
        if self.general.is_some() {
            names.push("VolumeBinding");
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// As the pod's condition tells it; `preemption` says why driving pods off did not help.
    pub fn message(&self, preemption: Option<&str>) -> String {
        if self.total == 0 {
            return "no nodes available to schedule pods".into();
        }
        let why = match &self.general {
            Some(general) => general.clone(),
            None => histogram(self.nodes.iter().flat_map(|(_, unfit)| &unfit.reasons)),
        };
        let preemption = preemption.map(|why| format!(" no new claims to deallocate, preemption: {why}"));
        format!("0/{} nodes are available: {why}.{}", self.total, preemption.unwrap_or_default())
    }
}

/// `2 Insufficient cpu, 1 Too many pods`.
pub fn histogram<'r>(reasons: impl Iterator<Item = &'r Cow<'static, str>>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    reasons.for_each(|reason| *counts.entry(reason).or_default() += 1);
    let mut parts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    parts.join(", ")
}
