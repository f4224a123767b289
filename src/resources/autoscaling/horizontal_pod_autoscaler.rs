//! HorizontalPodAutoscaler: scales a workload by what its pods use.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "autoscaling",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "horizontalpodautoscaler",
        &[
            Version::on("v2", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"),
            Version::on("v1", "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler"),
        ],
    )
};
