//! Pods that want to be near other pods, or far from them.

use std::collections::HashMap;

use crate::client::Seen;
use crate::client::Snapshot;
use crate::object::view::{Namespace, Pod, PodTerm};
use crate::scheduler::cluster::Cluster;
use crate::scheduler::framework::{Attempt, Refusal, SCORE_MAX};
use crate::scheduler::info::{NodeInfo, PodRef};

/// Topology keys, their values, and how much each of these places has of what is counted.
#[derive(Clone, Default)]
struct Places(HashMap<String, HashMap<String, i64>>);

impl Places {
    fn add(&mut self, info: &NodeInfo, term: &PodTerm, by: i64) {
        let Some(value) = info.label(&term.topology_key) else { return };
        if !self.0.contains_key(&term.topology_key) {
            self.0.insert(term.topology_key.clone(), HashMap::new());
        }
        let Some(values) = self.0.get_mut(&term.topology_key) else { return };
        match values.get_mut(value) {
            Some(count) => *count += by,
            None => drop(values.insert(value.to_owned(), by)),
        }
    }

    /// What there is in the places that the node belongs to, by topology key.
    fn around(&self, info: &NodeInfo) -> impl Iterator<Item = i64> {
        self.0.iter().filter_map(|(key, values)| values.get(info.label(key)?).copied())
    }

    fn has(&self, info: &NodeInfo, term: &PodTerm) -> bool {
        let count = || self.0.get(&term.topology_key)?.get(info.label(&term.topology_key)?);
        count().is_some_and(|count| *count > 0)
    }

    fn is_empty(&self) -> bool {
        self.0.values().flat_map(HashMap::values).all(|count| *count <= 0)
    }
}

/// Places as the pod's and other pods' hard terms see them, with how many pods made them so.
#[derive(Clone, Default)]
pub struct Required {
    /// Where pods are that match all affinity terms.
    near: Places,
    /// Where pods are that match an anti-affinity term.
    far: Places,
    /// Where pods are that do not want this one.
    forbidden: Places,
    /// The first of its kind may go anywhere.
    matches_itself: bool,
}

/// Whether a term of `owner` means `other`.
fn means(snap: &Snapshot, owner: &Seen<Pod>, term: &PodTerm, other: &Seen<Pod>) -> bool {
    let namespace = other.namespace();
    let by_name = match (&term.namespace_selector, term.namespaces.is_empty()) {
        (None, true) => namespace == owner.namespace(),
        _ => term.namespaces.iter().any(|name| name == namespace),
    };
    let by_label = || {
        term.namespace_selector.as_ref().is_some_and(|selector| {
            selector.is_empty()
                || snap.find::<Namespace>("", namespace).is_some_and(|found| selector.matches(&found.meta().labels))
        })
    };
    (by_name || by_label())
        && term.label_selector.as_ref().is_some_and(|selector| selector.matches(&other.meta().labels))
}

impl Required {
    pub fn of(pod: &PodRef, cluster: &Cluster) -> Self {
        let mut required = Self::default();
        let (affinity, anti) = (pod.required_affinity(), pod.required_anti_affinity());
        required.matches_itself = affinity.iter().all(|term| means(&cluster.snap, &pod.pod, term, &pod.pod));
        if !affinity.is_empty() || !anti.is_empty() {
            for (info, other) in cluster.all_pods() {
                required.count_wishes(pod, other, info, &cluster.snap, 1);
            }
        }
        for (info, other) in cluster.choosy_pods() {
            required.count_objections(pod, other, info, &cluster.snap, 1);
        }
        required
    }

    /// As if `gone` were not there any more.
    pub fn without(&mut self, pod: &PodRef, gone: &PodRef, info: &NodeInfo, snap: &Snapshot) {
        self.count_wishes(pod, gone, info, snap, -1);
        self.count_objections(pod, gone, info, snap, -1);
    }

    fn count_wishes(&mut self, pod: &PodRef, other: &PodRef, info: &NodeInfo, snap: &Snapshot, by: i64) {
        let affinity = pod.required_affinity();
        if !affinity.is_empty() && affinity.iter().all(|term| means(snap, &pod.pod, term, &other.pod)) {
            affinity.iter().for_each(|term| self.near.add(info, term, by));
        }
        for term in pod.required_anti_affinity() {
            if means(snap, &pod.pod, term, &other.pod) {
                self.far.add(info, term, by);
            }
        }
    }

    fn count_objections(&mut self, pod: &PodRef, other: &PodRef, info: &NodeInfo, snap: &Snapshot, by: i64) {
        for term in other.required_anti_affinity() {
            if means(snap, &other.pod, term, &pod.pod) {
                self.forbidden.add(info, term, by);
            }
        }
    }
}

pub fn is_welcome(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    let required = &attempt.affinity;
    let affinity = attempt.pod.required_affinity();
    if !affinity.is_empty() {
        let all_known = affinity.iter().all(|term| info.label(&term.topology_key).is_some());
        let all_near = all_known && affinity.iter().all(|term| required.near.has(info, term));
        let is_first = || required.near.is_empty() && required.matches_itself;
        if !all_near && !(all_known && is_first()) {
            return Err(Refusal::never("node(s) didn't match pod affinity rules"));
        }
    }
    if attempt.pod.required_anti_affinity().iter().any(|term| required.far.has(info, term)) {
        return Err(Refusal::not_now("node(s) didn't match pod anti-affinity rules"));
    }
    match required.forbidden.around(info).any(|count| count > 0) {
        true => Err(Refusal::not_now("node(s) didn't satisfy existing pods anti-affinity rules")),
        false => Ok(()),
    }
}

/// Nodes among pods that this one likes, and that like it.
pub fn best_company(attempt: &Attempt, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let (pod, snap) = (attempt.pod, &attempt.cluster.snap);
    let mut places = Places::default();
    let wishes: Vec<(i64, &PodTerm)> = pod.preferred_terms().collect();
    if !wishes.is_empty() {
        for (info, other) in attempt.cluster.all_pods() {
            for (weight, term) in &wishes {
                if means(snap, &pod.pod, term, &other.pod) {
                    places.add(info, term, *weight);
                }
            }
        }
    }
    for (info, other) in attempt.cluster.choosy_pods() {
        let hard = other.required_affinity().iter().map(|term| (1, term));
        for (weight, term) in hard.chain(other.preferred_terms()) {
            if means(snap, &other.pod, term, &pod.pod) {
                places.add(info, term, weight);
            }
        }
    }
    if places.0.is_empty() {
        return None;
    }
    let sums: Vec<i64> = nodes.iter().map(|info| places.around(info).sum()).collect();
    let (min, max) = (*sums.iter().min()?, *sums.iter().max()?);
    let rate =
        |sum: &i64| if max > min { (SCORE_MAX as f64 * ((sum - min) as f64 / (max - min) as f64)) as i64 } else { 0 };
    Some(sums.iter().map(rate).collect())
}
