//! ReplicationController: the first kind of ReplicaSet.

use crate::object::tree::TreePath;
use crate::resources::cells::{CONTAINERS, IMAGES, labels};
use crate::resources::{Column, ResourceDef, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["rc"],
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
        Column::with("Selector", |o| labels(o.at("spec.selector")).into()).wide(),
    ],
    ..ResourceDef::namespaced(
        "",
        "ReplicationController",
        "replicationcontrollers",
        "replicationcontroller",
        &[Version::on("v1", "io.k8s.api.core.v1.ReplicationController")],
    )
};
