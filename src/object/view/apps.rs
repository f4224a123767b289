//! Workloads that keep pods running.

use super::common::{Condition, IntOrPercent, Raw};
use super::selector::LabelSelector;
use crate::object::StringMap;

views! {
    Deployment = "deployments.apps",
    ReplicaSet = "replicasets.apps",
    ReplicationController = "replicationcontrollers",
    DaemonSet = "daemonsets.apps",
    StatefulSet = "statefulsets.apps",
    ControllerRevision = "controllerrevisions.apps",
}

fields! {
    Deployment {
        spec: DeploymentSpec,
        status: DeploymentStatus,
    }

    DeploymentSpec {
        replicas: Option<i64>,
        selector: LabelSelector,
        template: Raw,
        strategy: UpdateStrategy,
        min_ready_seconds: i64,
        revision_history_limit: Option<i64>,
        paused: bool,
        progress_deadline_seconds: Option<i64>,
    }

    /// The update strategy of deployments, daemon sets and stateful sets alike.
    UpdateStrategy {
        #[serde(rename = "type")]
        kind: String,
        rolling_update: Option<RollingUpdate>,
    }

    RollingUpdate {
        max_surge: Option<IntOrPercent>,
        max_unavailable: Option<IntOrPercent>,
        partition: Option<i64>,
    }

    DeploymentStatus {
        observed_generation: i64,
        replicas: i64,
        updated_replicas: i64,
        ready_replicas: i64,
        available_replicas: i64,
        unavailable_replicas: i64,
        terminating_replicas: Option<i64>,
        collision_count: Option<i64>,
        conditions: Vec<Condition>,
    }

    ReplicaSet {
        spec: ReplicaSetSpec,
        status: ReplicaSetStatus,
    }

    ReplicaSetSpec {
        replicas: Option<i64>,
        selector: LabelSelector,
        template: Raw,
        min_ready_seconds: i64,
    }

    ReplicaSetStatus {
        observed_generation: i64,
        replicas: i64,
        fully_labeled_replicas: i64,
        ready_replicas: i64,
        available_replicas: i64,
        terminating_replicas: Option<i64>,
        conditions: Vec<Condition>,
    }

    ReplicationController {
        spec: ReplicationControllerSpec,
        status: ReplicaSetStatus,
    }

    ReplicationControllerSpec {
        replicas: Option<i64>,
        selector: StringMap,
        template: Raw,
        min_ready_seconds: i64,
    }

    DaemonSet {
        spec: DaemonSetSpec,
        status: DaemonSetStatus,
    }

    DaemonSetSpec {
        selector: LabelSelector,
        template: Raw,
        update_strategy: UpdateStrategy,
        min_ready_seconds: i64,
        revision_history_limit: Option<i64>,
    }

    DaemonSetStatus {
        observed_generation: i64,
        current_number_scheduled: i64,
        number_misscheduled: i64,
        desired_number_scheduled: i64,
        number_ready: i64,
        updated_number_scheduled: i64,
        number_available: i64,
        number_unavailable: i64,
        collision_count: Option<i64>,
    }

    StatefulSet {
        spec: StatefulSetSpec,
        status: StatefulSetStatus,
    }

    StatefulSetSpec {
        replicas: Option<i64>,
        selector: LabelSelector,
        template: Raw,
        volume_claim_templates: Vec<Raw>,
        service_name: String,
        pod_management_policy: String,
        update_strategy: UpdateStrategy,
        min_ready_seconds: i64,
        revision_history_limit: Option<i64>,
        persistent_volume_claim_retention_policy: Option<ClaimRetention>,
        ordinals: Option<Ordinals>,
    }

    ClaimRetention {
        when_deleted: String,
        when_scaled: String,
    }

    Ordinals {
        start: i64,
    }

    StatefulSetStatus {
        observed_generation: i64,
        replicas: i64,
        ready_replicas: i64,
        current_replicas: i64,
        updated_replicas: i64,
        available_replicas: i64,
        current_revision: String,
        update_revision: String,
        collision_count: Option<i64>,
        conditions: Vec<Condition>,
    }

    /// A template that a daemon set or stateful set once had.
    ControllerRevision {
        revision: i64,
        data: Raw,
    }
}
