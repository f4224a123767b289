//! Pods, as scheduler, controllers and proxies see them. The kubelet reads its own pods in full.

use super::common::{Amounts, Condition, Named, Raw, Resources, condition};
use super::placement::{Affinity, SpreadConstraint, Toleration};
use crate::object::StringMap;
use crate::object::time::Timestamp;

views! { Pod = "pods" }

fields! {
    Pod {
        spec: PodSpec,
        status: PodStatus,
    }

    PodSpec {
        node_name: String,
        node_selector: StringMap,
        affinity: Option<Box<Affinity>>,
        tolerations: Vec<Toleration>,
        containers: Vec<Container>,
        init_containers: Vec<Container>,
        overhead: Amounts,
        resources: Option<Box<Resources>>,
        priority: Option<i32>,
        priority_class_name: String,
        preemption_policy: Option<String>,
        scheduler_name: String,
        scheduling_gates: Vec<Named>,
        topology_spread_constraints: Vec<SpreadConstraint>,
        readiness_gates: Vec<ReadinessGate>,
        host_network: bool,
        hostname: String,
        subdomain: String,
        restart_policy: String,
        termination_grace_period_seconds: Option<i64>,
        active_deadline_seconds: Option<i64>,
        service_account_name: String,
        volumes: Vec<PodVolume>,
        resource_claims: Vec<Named>,
    }

    ReadinessGate {
        condition_type: String,
    }

    Container {
        name: String,
        image: String,
        ports: Vec<ContainerPort>,
        resources: Resources,
        /// `Always` makes an init container a sidecar.
        restart_policy: Option<String>,
    }

    ContainerPort {
        name: String,
        container_port: u16,
        host_port: u16,
        #[serde(rename = "hostIP")]
        host_ip: String,
        protocol: String,
    }

    PodVolume {
        name: String,
        persistent_volume_claim: Option<ClaimVolume>,
        ephemeral: Option<Raw>,
        config_map: Option<Named>,
    }

    ClaimVolume {
        claim_name: String,
        read_only: bool,
    }

    PodStatus {
        phase: String,
        reason: String,
        message: String,
        conditions: Vec<Condition>,
        #[serde(rename = "podIP")]
        pod_ip: String,
        #[serde(rename = "podIPs")]
        pod_ips: Vec<PodIp>,
        #[serde(rename = "hostIP")]
        host_ip: String,
        nominated_node_name: String,
        start_time: Option<Timestamp>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
        qos_class: String,
    }

    PodIp {
        ip: String,
    }

    ContainerStatus {
        name: String,
        ready: bool,
        started: Option<bool>,
        restart_count: i64,
        state: ContainerState,
        last_state: ContainerState,
    }

    /// At most one is there; none means waiting.
    ContainerState {
        waiting: Option<Waiting>,
        running: Option<Running>,
        terminated: Option<Terminated>,
    }

    Waiting {
        reason: String,
        message: String,
    }

    Running {
        started_at: Option<Timestamp>,
    }

    Terminated {
        exit_code: i64,
        reason: String,
        message: String,
        started_at: Option<Timestamp>,
        finished_at: Option<Timestamp>,
    }
}

impl Pod {
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        condition(&self.status.conditions, kind)
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(Condition::is_true)
    }

    /// Succeeded or failed: it will never run again.
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    pub fn is_scheduled(&self) -> bool {
        !self.spec.node_name.is_empty()
    }

    pub fn priority(&self) -> i32 {
        self.spec.priority.unwrap_or(0)
    }
}

impl Container {
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}
