//! ReplicationController: the first kind of ReplicaSet.

use crate::resources::{ResourceDef, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["rc"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    selectable: &["status.replicas"],
    ..ResourceDef::namespaced(
        "",
        "ReplicationController",
        "replicationcontrollers",
        "replicationcontroller",
        &[Version::on("v1", "io.k8s.api.core.v1.ReplicationController")],
    )
};
