//! Limits: disruption budgets, quotas, priorities.

use std::collections::BTreeMap;

use super::common::{Amounts, Condition, IntOrPercent, Raw};
use super::selector::LabelSelector;
use crate::object::time::Timestamp;

views! {
    PodDisruptionBudget = "poddisruptionbudgets.policy",
    ResourceQuota = "resourcequotas",
    PriorityClass = "priorityclasses.scheduling.k8s.io",
}

fields! {
    PodDisruptionBudget {
        spec: PodDisruptionBudgetSpec,
        status: PodDisruptionBudgetStatus,
    }

    PodDisruptionBudgetSpec {
        min_available: Option<IntOrPercent>,
        max_unavailable: Option<IntOrPercent>,
        selector: Option<LabelSelector>,
        unhealthy_pod_eviction_policy: Option<String>,
    }

    PodDisruptionBudgetStatus {
        observed_generation: i64,
        disruptions_allowed: i64,
        current_healthy: i64,
        desired_healthy: i64,
        expected_pods: i64,
        /// Pods whose eviction was allowed but not yet seen, and when.
        disrupted_pods: BTreeMap<String, Timestamp>,
        conditions: Vec<Condition>,
    }

    ResourceQuota {
        spec: ResourceQuotaSpec,
        status: ResourceQuotaStatus,
    }

    ResourceQuotaSpec {
        hard: Amounts,
        scopes: Vec<String>,
        scope_selector: Option<Raw>,
    }

    ResourceQuotaStatus {
        hard: Amounts,
        used: Amounts,
    }

    PriorityClass {
        value: i32,
        global_default: bool,
        preemption_policy: Option<String>,
    }
}
