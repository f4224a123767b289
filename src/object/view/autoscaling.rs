//! Horizontal pod autoscalers.

use super::common::{Raw, Reference};

views! { HorizontalPodAutoscaler = "horizontalpodautoscalers.autoscaling" }

fields! {
    HorizontalPodAutoscaler {
        spec: HorizontalPodAutoscalerSpec,
    }

    HorizontalPodAutoscalerSpec {
        scale_target_ref: Reference,
        min_replicas: Option<i64>,
        max_replicas: i64,
        metrics: Vec<Raw>,
    }
}
