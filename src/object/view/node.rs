//! Nodes and their leases.

use super::common::{Amounts, Condition, condition};
use super::placement::Taint;
use crate::object::time::Timestamp;

views! { Node = "nodes", Lease = "leases.coordination.k8s.io" }

fields! {
    Node {
        spec: NodeSpec,
        status: NodeStatus,
    }

    NodeSpec {
        #[serde(rename = "podCIDR")]
        pod_cidr: String,
        #[serde(rename = "podCIDRs")]
        pod_cidrs: Vec<String>,
        #[serde(rename = "providerID")]
        provider_id: String,
        unschedulable: bool,
        taints: Vec<Taint>,
    }

    NodeStatus {
        capacity: Amounts,
        allocatable: Amounts,
        conditions: Vec<Condition>,
        addresses: Vec<NodeAddress>,
        images: Vec<NodeImage>,
        daemon_endpoints: DaemonEndpoints,
        volumes_attached: Vec<AttachedVolume>,
        volumes_in_use: Vec<String>,
    }

    NodeAddress {
        #[serde(rename = "type")]
        kind: String,
        address: String,
    }

    NodeImage {
        names: Vec<String>,
        size_bytes: i64,
    }

    DaemonEndpoints {
        kubelet_endpoint: Port,
    }

    Port {
        #[serde(rename = "Port")]
        port: u16,
    }

    AttachedVolume {
        name: String,
        device_path: String,
    }

    Lease {
        spec: LeaseSpec,
    }

    LeaseSpec {
        holder_identity: Option<String>,
        lease_duration_seconds: Option<i64>,
        acquire_time: Option<Timestamp>,
        renew_time: Option<Timestamp>,
        lease_transitions: Option<i64>,
    }
}

impl Node {
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        condition(&self.status.conditions, kind)
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(Condition::is_true)
    }

    /// The first address of the type, such as `InternalIP`.
    pub fn address(&self, kind: &str) -> Option<&str> {
        self.status.addresses.iter().find(|address| address.kind == kind).map(|address| address.address.as_str())
    }
}
