//! ReplicaSet: keeps a number of equal pods alive.

use crate::resources::cells::{CONTAINERS, IMAGES, SELECTOR};
use crate::resources::{Column, ResourceDef, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["rs"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    selectable: &["status.replicas"],
    columns: &[
        Column::NAME,
        Column::number("Desired", "spec.replicas"),
        Column::number("Current", "status.replicas"),
        Column::number("Ready", "status.readyReplicas"),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    ..ResourceDef::namespaced(
        "apps",
        "ReplicaSet",
        "replicasets",
        "replicaset",
        &[Version::on("v1", "io.k8s.api.apps.v1.ReplicaSet")],
    )
};
