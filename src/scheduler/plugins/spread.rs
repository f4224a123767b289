//! Spreading pods over zones and nodes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::object::StringMap;
use crate::object::view::{
    LabelSelector, ReplicaSet, ReplicationController, Requirement, Service, SpreadConstraint, StatefulSet,
    node_matches, untolerated,
};
use crate::scheduler::alike::Counts;
use crate::scheduler::cluster::Cluster;
use crate::scheduler::framework::{Attempt, Refusal, SCORE_MAX};
use crate::scheduler::info::{NodeInfo, PodRef};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// A constraint with its selector made ready.
#[derive(Clone)]
struct Constraint {
    max_skew: i64,
    key: String,
    selector: Option<LabelSelector>,
    min_domains: Option<i64>,
    honor_affinity: bool,
    honor_taints: bool,
}

/// Hard constraints, with how many matching pods each domain has.
#[derive(Clone, Default)]
pub struct Required(Vec<(Constraint, HashMap<String, i64>)>);

impl Constraint {
    fn of(constraint: &SpreadConstraint, labels: &StringMap) -> Self {
        let mut selector = constraint.label_selector.clone();
        if let Some(selector) = &mut selector {
            for key in &constraint.match_label_keys {
                if let Some(value) = labels.get(key) {
                    let (key, values) = (key.clone(), vec![value.to_owned()]);
                    selector.match_expressions.push(Requirement { key, operator: "In".into(), values });
                }
            }
        }
        Self {
            max_skew: constraint.max_skew,
            key: constraint.topology_key.clone(),
            selector,
            min_domains: constraint.min_domains,
            honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }

    fn matches(&self, labels: &StringMap) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }

    /// Whether the node counts for this constraint.
    fn includes(&self, pod: &PodRef, info: &NodeInfo) -> bool {
        let (spec, Some(node)) = (&pod.pod.spec, &info.node) else { return false };
        let selected = || node_matches(&spec.node_selector, spec.affinity.as_deref(), &node.meta().labels, &info.name);
        let tolerated = || untolerated(&node.spec.taints, &spec.tolerations, &["NoSchedule", "NoExecute"]).is_none();
        (!self.honor_affinity || selected()) && (!self.honor_taints || tolerated())
    }

    /// How many matching pods each node has.
    fn counts<'c>(&self, namespace: &str, cluster: &'c Cluster) -> Cow<'c, Counts> {
        cluster.alike.count(namespace, |labels| self.matches(labels))
    }
}

fn on(info: &NodeInfo, counts: &Counts) -> i64 {
    counts.get(&info.name).map_or(0, |count| *count as i64)
}

fn constraints<'p>(pod: &'p PodRef, when: &'p str) -> impl Iterator<Item = Constraint> + 'p {
    let all = pod.pod.spec.topology_spread_constraints.iter();
    all.filter(move |constraint| constraint.when_unsatisfiable == when)
        .map(|constraint| Constraint::of(constraint, &pod.pod.meta().labels))
}

impl Required {
    pub fn of(pod: &PodRef, cluster: &Cluster) -> Self {
        let constraints: Vec<Constraint> = constraints(pod, "DoNotSchedule").collect();
        let keys: Vec<String> = constraints.iter().map(|constraint| constraint.key.clone()).collect();
        let eligible = |info: &&NodeInfo| keys.iter().all(|key| info.label(key).is_some());
        let counted = constraints.into_iter().map(|constraint| {
            let counts = constraint.counts(pod.pod.namespace(), cluster);
            let mut domains: HashMap<String, i64> = HashMap::new();
            for info in cluster.nodes().filter(eligible).filter(|info| constraint.includes(pod, info)) {
                let Some(domain) = info.label(&constraint.key) else { continue };
                match domains.get_mut(domain) {
                    Some(count) => *count += on(info, &counts),
                    None => drop(domains.insert(domain.to_owned(), on(info, &counts))),
                }
            }
            (constraint, domains)
        });
        Self(counted.collect())
    }

    /// As if `pod` were not there any more.
    pub fn without(&mut self, gone: &PodRef, info: &NodeInfo, namespace: &str) {
        for (constraint, domains) in &mut self.0 {
            let counts = gone.pod.namespace() == namespace
                && !gone.pod.is_deleting()
                && constraint.matches(&gone.pod.meta().labels);
            if let Some(count) = info.label(&constraint.key).filter(|_| counts).and_then(|d| domains.get_mut(d)) {
                *count -= 1;
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub fn keeps_balance(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    for (constraint, domains) in &attempt.spread.0 {
        let Some(domain) = info.label(&constraint.key) else {
            let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
            return Err(Refusal::never(reason));
        };
        let enough_domains = constraint.min_domains.is_none_or(|min| domains.len() as i64 >= min);
        let fewest = if enough_domains { domains.values().copied().min().unwrap_or(0) } else { 0 };
        let own = i64::from(constraint.matches(&attempt.pod.pod.meta().labels));
        let there = domains.get(domain).copied().unwrap_or(0);
        if there + own - fewest > constraint.max_skew {
            return Err(Refusal::not_now("node(s) didn't match pod topology spread constraints"));
        }
    }
    Ok(())
}

/// Nodes in domains with few pods like this one: by the pod's soft constraints, or else by those
/// that pods of services and workloads have by default.
pub fn most_spread(attempt: &Attempt, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let pod = attempt.pod;
    let own = !pod.pod.spec.topology_spread_constraints.is_empty();
    let constraints: Vec<Constraint> =
        if own { constraints(pod, "ScheduleAnyway").collect() } else { default_constraints(attempt)? };
    if constraints.is_empty() {
        return None;
    }
    let has_all = |info: &NodeInfo| constraints.iter().all(|constraint| info.label(&constraint.key).is_some());
    let ignored: HashSet<&str> =
        nodes.iter().filter(|info| own && !has_all(info)).map(|info| info.name.as_str()).collect();
    let mut totals = vec![0.0; nodes.len()];
    for constraint in &constraints {
        let counts = constraint.counts(pod.pod.namespace(), attempt.cluster);
        let mut domains: HashMap<&str, i64> = HashMap::new();
        let rated = nodes.iter().filter(|info| !ignored.contains(info.name.as_str()));
        let by_host = constraint.key == HOSTNAME;
        if !by_host {
            domains.extend(rated.clone().map(|info| (info.label(&constraint.key).unwrap_or(""), 0)));
            for info in attempt.cluster.nodes() {
                if (own && !has_all(info)) || !constraint.includes(pod, info) {
                    continue;
                }
                if let Some(count) = domains.get_mut(info.label(&constraint.key).unwrap_or("")) {
                    *count += on(info, &counts);
                }
            }
        }
        let size = if by_host { rated.count() } else { domains.len() };
        let weight = ((size + 2) as f64).ln();
        for (total, info) in totals.iter_mut().zip(nodes) {
            let Some(domain) = info.label(&constraint.key) else { continue };
            let count = match by_host {
                true => on(info, &counts),
                false => domains.get(domain).copied().unwrap_or(0),
            };
            *total += count as f64 * weight + (constraint.max_skew - 1) as f64;
        }
    }
    Some(normalize(nodes, &totals, &ignored))
}

/// Few pods score high; nodes that constraints do not cover score nothing.
fn normalize(nodes: &[&NodeInfo], totals: &[f64], ignored: &HashSet<&str>) -> Vec<i64> {
    let totals: Vec<i64> = totals.iter().map(|total| total.round() as i64).collect();
    let counted = || nodes.iter().zip(&totals).filter(|(info, _)| !ignored.contains(info.name.as_str()));
    let max = counted().map(|(_, total)| *total).max().unwrap_or(0);
    let min = counted().map(|(_, total)| *total).min().unwrap_or(0);
    let rate = |(info, total): (&&NodeInfo, &i64)| match max {
        _ if ignored.contains(info.name.as_str()) => 0,
        0 => SCORE_MAX,
        max => SCORE_MAX * (max + min - total) / max,
    };
    nodes.iter().zip(&totals).map(rate).collect()
}

/// Over nodes and zones, for pods that belong to a service or a workload.
fn default_constraints(attempt: &Attempt) -> Option<Vec<Constraint>> {
    let selector = siblings(attempt)?;
    let soft = |key: &str, max_skew| Constraint {
        max_skew,
        key: key.into(),
        selector: Some(selector.clone()),
        min_domains: None,
        honor_affinity: true,
        honor_taints: false,
    };
    Some(vec![soft(HOSTNAME, 3), soft(ZONE, 5)])
}

/// What selects the pods that belong together with this one.
fn siblings(attempt: &Attempt) -> Option<LabelSelector> {
    let (pod, snap) = (&attempt.pod.pod, &attempt.cluster.snap);
    let mut selector = LabelSelector::default();
    for service in snap.list::<Service>(pod.namespace()) {
        let wanted = service.spec.selector.as_ref().filter(|wanted| !wanted.is_empty());
        if let Some(wanted) = wanted.filter(|w| w.iter().all(|(k, v)| pod.meta().labels.get(k) == Some(v))) {
            selector.match_labels.extend(wanted);
        }
    }
    if let Some(owner) = pod.meta().controller() {
        let (namespace, name) = (pod.namespace(), owner.name.as_str());
        let of_owner = match owner.kind.as_str() {
            "ReplicaSet" => snap.find::<ReplicaSet>(namespace, name).map(|set| set.spec.selector.clone()),
            "StatefulSet" => snap.find::<StatefulSet>(namespace, name).map(|set| set.spec.selector.clone()),
            "ReplicationController" => {
                let set = snap.find::<ReplicationController>(namespace, name);
                set.map(|set| LabelSelector::of(set.spec.selector.clone()))
            }
            _ => None,
        };
        if let Some(of_owner) = of_owner {
            selector.match_labels.extend(&of_owner.match_labels);
            selector.match_expressions.extend(of_owner.match_expressions);
        }
    }
    (!selector.is_empty()).then_some(selector)
}
