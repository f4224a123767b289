//! ReplicaSet: keeps a number of equal pods alive.

use crate::resources::{ResourceDef, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["rs"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    selectable: &["status.replicas"],
    ..ResourceDef::namespaced(
        "apps",
        "ReplicaSet",
        "replicasets",
        "replicaset",
        &[Version::on("v1", "io.k8s.api.apps.v1.ReplicaSet")],
    )
};
