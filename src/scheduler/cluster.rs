//! The cluster as scheduling sees it: nodes, the pods on them, and those about to be.
//!
//! Kept up to date change by change, never rebuilt. A pod that was given a node counts as being
//! there from that moment on (assumed), until the API confirms it or the binding fails.

use std::collections::HashMap;

use super::alike::Alike;
use super::info::{NodeInfo, PodInfo, PodRef};
use crate::client::{Seen, Snapshot};
use crate::object::view::{Node, Pod};
use crate::object::{ObjectRef, Timestamp};

pub struct Cluster {
    /// Everything else that plugins look up: claims, volumes, namespaces, services.
    pub snap: Snapshot,
    nodes: Vec<NodeInfo>,
    index: HashMap<String, usize>,
    /// Where each counted pod is, by uid.
    places: HashMap<String, String>,
    /// Counted pods by their labels.
    pub alike: Alike,
    /// Counted pods with affinity terms of their own.
    choosy: HashMap<String, PodRef>,
    /// Pods that wait for their victims to leave a node.
    nominated: HashMap<String, Vec<PodRef>>,
    /// How many nodes have each image.
    pub image_nodes: HashMap<String, i64>,
    live_count: usize,
}

impl Cluster {
    pub fn new(snap: Snapshot) -> Self {
        Self {
            snap,
            nodes: Vec::new(),
            index: HashMap::new(),
            places: HashMap::new(),
            alike: Alike::default(),
            choosy: HashMap::new(),
            nominated: HashMap::new(),
            image_nodes: HashMap::new(),
            live_count: 0,
        }
    }

    /// As if every pod and node of the snapshot had just been seen.
    pub fn of(snap: &Snapshot) -> Self {
        let mut cluster = Self::new(snap.clone());
        for node in snap.list::<Node>("") {
            cluster.see_node(node.name(), Some(node.object()));
        }
        for pod in snap.list::<Pod>("") {
            cluster.see_pod(None, Some(pod.object()));
        }
        cluster
    }

    pub fn now(&self) -> Timestamp {
        self.snap.now()
    }

    /// How many nodes exist.
    pub fn len(&self) -> usize {
        self.live_count
    }

    pub fn is_empty(&self) -> bool {
        self.live_count == 0
    }

    /// Nodes that exist, beginning at `start` and wrapping around.
    pub fn nodes_from(&self, start: usize) -> impl Iterator<Item = (usize, &NodeInfo)> {
        let count = self.nodes.len();
        (0..count).map(move |step| (start + step) % count.max(1)).filter_map(|index| {
            let info = &self.nodes[index];
            info.node.is_some().then_some((index, info))
        })
    }

    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.iter().filter(|info| info.node.is_some())
    }

    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.index.get(name).map(|index| &self.nodes[*index])
    }

    pub fn all_pods(&self) -> impl Iterator<Item = (&NodeInfo, &PodRef)> {
        self.nodes.iter().flat_map(|info| info.pods.values().map(move |pod| (info, pod)))
    }

    /// Counted pods that have affinity terms, with where they are.
    pub fn choosy_pods(&self) -> impl Iterator<Item = (&NodeInfo, &PodRef)> {
        self.choosy.values().filter_map(|pod| Some((self.node(self.places.get(pod.uid())?)?, pod)))
    }

    pub fn nominated(&self, node: &str) -> &[PodRef] {
        self.nominated.get(node).map_or(&[], Vec::as_slice)
    }

    pub fn nominate(&mut self, pod: PodRef, node: &str) {
        self.denominate(pod.uid());
        self.nominated.entry(node.into()).or_default().push(pod);
    }

    pub fn denominate(&mut self, uid: &str) {
        self.nominated.retain(|_, pods| {
            pods.retain(|pod| pod.uid() != uid);
            !pods.is_empty()
        });
    }

    pub fn see_node(&mut self, name: &str, object: Option<&ObjectRef>) {
        let index = self.slot(name);
        let had = self.nodes[index].node.is_some();
        for image in self.nodes[index].images.clone().keys() {
            if let Some(count) = self.image_nodes.get_mut(image) {
                *count -= 1;
            }
        }
        match object.and_then(Seen::new) {
            Some(node) => {
                self.nodes[index].set_node(node);
                for image in self.nodes[index].images.clone().keys() {
                    *self.image_nodes.entry(image.clone()).or_default() += 1;
                }
                self.live_count += usize::from(!had);
            }
            None => {
                self.nodes[index].node = None;
                self.nodes[index].images = Default::default();
                self.live_count -= usize::from(had);
                self.drop_if_empty(index);
            }
        }
        self.image_nodes.retain(|_, count| *count > 0);
    }

    /// Takes in a changed pod: it counts while it is bound to a node and not finished.
    pub fn see_pod(&mut self, before: Option<&ObjectRef>, after: Option<&ObjectRef>) {
        let after = after.and_then(Seen::<Pod>::new);
        if let Some(before) = before.filter(|before| after.as_ref().is_none_or(|pod| pod.uid() != before.meta().uid()))
        {
            self.forget(before.meta().uid());
            self.denominate(before.meta().uid());
        }
        let Some(pod) = after else { return };
        if pod.is_terminal() {
            self.forget(pod.uid());
        } else if pod.is_scheduled() {
            self.denominate(pod.uid());
            let node = pod.spec.node_name.clone();
            self.assume(PodInfo::new(pod), &node);
        }
    }

    /// Counts the pod as being on the node.
    pub fn assume(&mut self, pod: PodRef, node: &str) {
        self.forget(pod.uid());
        if pod.has_pod_affinity {
            self.choosy.insert(pod.uid().to_owned(), pod.clone());
        }
        self.places.insert(pod.uid().to_owned(), node.to_owned());
        self.alike.add(&pod, node);
        let index = self.slot(node);
        self.nodes[index].add(pod);
    }

    /// The pod is nowhere (any more).
    pub fn forget(&mut self, uid: &str) {
        let Some(node) = self.places.remove(uid) else { return };
        self.choosy.remove(uid);
        if let Some(index) = self.index.get(&node).copied() {
            if let Some(pod) = self.nodes[index].remove(uid) {
                self.alike.remove(&pod, &node);
            }
            self.drop_if_empty(index);
        }
    }

    pub fn is_placed(&self, uid: &str) -> bool {
        self.places.contains_key(uid)
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        self.nodes.push(NodeInfo::named(name));
        self.index.insert(name.into(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn drop_if_empty(&mut self, index: usize) {
        if self.nodes[index].node.is_some() || !self.nodes[index].pods.is_empty() {
            return;
        }
        let gone = self.nodes.swap_remove(index);
        self.index.remove(&gone.name);
        if let Some(moved) = self.nodes.get(index) {
            self.index.insert(moved.name.clone(), index);
        }
    }
}
