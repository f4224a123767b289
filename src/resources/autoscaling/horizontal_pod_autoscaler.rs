//! HorizontalPodAutoscaler: scales a workload by what its pods use.

use super::targets::targets;
use crate::object::tree::TreePath;
use crate::resources::cells::kind_and_name;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::with("Reference", |o| kind_and_name(o.at("spec.scaleTargetRef")).into()),
        Column::with("Targets", |o| targets(o).into()),
        Column::path_or("MinPods", "spec.minReplicas", "<unset>"),
        Column::number("MaxPods", "spec.maxReplicas").of("string"),
        Column::number("Replicas", "status.currentReplicas").of("string"),
        Column::AGE,
    ],
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
