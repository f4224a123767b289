//! Pods by namespace and labels, and how many of them each node has.
//!
//! Pods of one workload mostly have the same labels, so spreading them asks one selector about one set of
//! labels, not about each pod of each node. Pods that are being deleted are not counted.

use std::borrow::Cow;
use std::collections::HashMap;

use super::info::PodRef;
use crate::object::StringMap;

/// Pods for each node's name.
pub type Counts = HashMap<String, usize>;

#[derive(Default)]
pub struct Alike(HashMap<String, HashMap<StringMap, Counts>>);

impl Alike {
    pub fn add(&mut self, pod: &PodRef, node: &str) {
        if pod.pod.is_deleting() {
            return;
        }
        let groups = self.0.entry(pod.pod.namespace().to_owned()).or_default();
        *groups.entry(pod.pod.meta().labels.clone()).or_default().entry(node.to_owned()).or_default() += 1;
    }

    /// Takes back what [`Alike::add`] did for the same pod and node.
    pub fn remove(&mut self, pod: &PodRef, node: &str) {
        let (namespace, labels) = (pod.pod.namespace(), &pod.pod.meta().labels);
        let Some(groups) = self.0.get_mut(namespace).filter(|_| !pod.pod.is_deleting()) else { return };
        let Some(counts) = groups.get_mut(labels) else { return };
        match counts.get_mut(node) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(node)),
        }
        if counts.is_empty() {
            groups.remove(labels);
        }
        if groups.is_empty() {
            self.0.remove(namespace);
        }
    }

    /// How many pods of the namespace with such labels each node has; nodes without one are left out.
    pub fn count(&self, namespace: &str, matches: impl Fn(&StringMap) -> bool) -> Cow<'_, Counts> {
        let groups = self.0.get(namespace).into_iter().flatten();
        let mut found = groups.filter(|(labels, _)| matches(labels)).map(|(_, counts)| counts);
        let Some(first) = found.next() else { return Cow::Owned(Counts::new()) };
        found.fold(Cow::Borrowed(first), |mut all, more| {
            for (node, count) in more {
                *all.to_mut().entry(node.clone()).or_default() += count;
            }
            all
        })
    }
}
