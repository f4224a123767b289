//! Pods and nodes with what the cycle would otherwise compute again and again.

use std::collections::HashMap;
use std::sync::Arc;

use super::amounts::{Amounts, assumed_requests, requests};
use crate::client::Seen;
use crate::object::quantity::Quantity;
use crate::object::view::{Affinity, Node, Pod, PodTerm};

pub type PodRef = Arc<PodInfo>;

/// Of each pod that is somewhere there is one, for as long as it is: what nobody asks of it again is let go.
pub struct PodInfo {
    pub pod: Seen<Pod>,
    pub has_pod_affinity: bool,
    pub requests: Amounts,
    pub assumed: Amounts,
    pub ports: Vec<HostPort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    ip: String,
    protocol: String,
    port: u16,
}

impl PodInfo {
    pub fn new(pod: Seen<Pod>) -> PodRef {
        let (requests, assumed) = (requests(&pod.spec), assumed_requests(&pod.spec));
        let sidecars = pod.spec.init_containers.iter().filter(|container| container.is_sidecar());
        let ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
        let ports = ports.filter(|port| port.host_port != 0).map(|port| HostPort {
            ip: if port.host_ip.is_empty() { "0.0.0.0".into() } else { port.host_ip.clone() },
            protocol: if port.protocol.is_empty() { "TCP".into() } else { port.protocol.clone() },
            port: port.host_port,
        });
        let ports = ports.collect();
        let affinity = pod.spec.affinity.as_ref();
        let has_pod_affinity =
            affinity.is_some_and(|affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some());
        Arc::new(Self { requests, assumed, ports, has_pod_affinity, pod: pod.unread() })
    }

    pub fn uid(&self) -> &str {
        self.pod.uid()
    }

    fn affinity(&self) -> Option<&Affinity> {
        self.has_pod_affinity.then(|| self.pod.spec.affinity.as_deref())?
    }

    pub fn required_affinity(&self) -> &[PodTerm] {
        self.affinity().and_then(|affinity| affinity.pod_affinity.as_ref()).map_or(&[], |pods| &pods.required)
    }

    pub fn required_anti_affinity(&self) -> &[PodTerm] {
        self.affinity().and_then(|affinity| affinity.pod_anti_affinity.as_ref()).map_or(&[], |pods| &pods.required)
    }

    /// Preferred terms with their weights; those of anti-affinity are negative.
    pub fn preferred_terms(&self) -> impl Iterator<Item = (i64, &PodTerm)> {
        let near = self.affinity().and_then(|affinity| affinity.pod_affinity.as_ref());
        let far = self.affinity().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let near = near.into_iter().flat_map(|pods| &pods.preferred).map(|term| (term.weight, &term.pod_affinity_term));
        let far = far.into_iter().flat_map(|pods| &pods.preferred).map(|term| (-term.weight, &term.pod_affinity_term));
        near.chain(far)
    }
}

impl HostPort {
    pub fn clashes(&self, other: &Self) -> bool {
        let any = |ip: &str| ip == "0.0.0.0" || ip == "::";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || any(&self.ip) || any(&other.ip))
    }
}

/// A node and the pods on it. `node` is none while pods are known but their node is not.
#[derive(Clone, Default)]
pub struct NodeInfo {
    pub name: String,
    pub node: Option<Seen<Node>>,
    pub allocatable: Amounts,
    pub pods_max: usize,
    pub requested: Amounts,
    pub assumed: Amounts,
    pub pods: HashMap<String, PodRef>,
    /// Image name → size.
    pub images: Arc<HashMap<String, i64>>,
    /// How many of its pods have host ports; most nodes have none to compare.
    port_users: usize,
}

impl NodeInfo {
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub fn set_node(&mut self, node: Seen<Node>) {
        self.allocatable = Amounts::of(&node.status.allocatable);
        let pods_max = node.status.allocatable.get("pods").and_then(|text| Quantity::parse(text).ok());
        self.pods_max = pods_max.map_or(0, |quantity| usize::try_from(quantity.value()).unwrap_or(0));
        let images = node.status.images.iter();
        let sized = images.flat_map(|image| image.names.iter().map(|name| (name.clone(), image.size_bytes)));
        self.images = Arc::new(sized.collect());
        self.node = Some(node);
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.node.as_ref().and_then(|node| node.meta().label(key))
    }

    pub fn add(&mut self, pod: PodRef) {
        self.remove(pod.uid());
        self.requested.add(&pod.requests);
        self.assumed.add(&pod.assumed);
        self.port_users += usize::from(!pod.ports.is_empty());
        self.pods.insert(pod.uid().to_owned(), pod);
    }

    pub fn remove(&mut self, uid: &str) -> Option<PodRef> {
        let pod = self.pods.remove(uid)?;
        self.requested.subtract(&pod.requests);
        self.assumed.subtract(&pod.assumed);
        self.port_users -= usize::from(!pod.ports.is_empty());
        Some(pod)
    }

    pub fn has_port_clash(&self, ports: &[HostPort]) -> bool {
        self.port_users > 0
            && !ports.is_empty()
            && self.pods.values().flat_map(|pod| &pod.ports).any(|used| ports.iter().any(|port| port.clashes(used)))
    }
}
