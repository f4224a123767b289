//! Horizontal pod autoscalers.

use super::common::{Condition, Reference};

views! { HorizontalPodAutoscaler = "horizontalpodautoscalers.autoscaling" }

fields! {
    HorizontalPodAutoscaler {
        spec: HorizontalPodAutoscalerSpec,
        status: HorizontalPodAutoscalerStatus,
    }

    HorizontalPodAutoscalerSpec {
        scale_target_ref: Reference,
        min_replicas: Option<i64>,
        max_replicas: i64,
    }

    HorizontalPodAutoscalerStatus {
        conditions: Vec<Condition>,
    }
}
