//! DaemonSet: one pod on every fitting node.

use crate::object::tree::TreePath;
use crate::resources::cells::{CONTAINERS, IMAGES, SELECTOR, labels};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ds"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::number("Desired", "status.desiredNumberScheduled"),
        Column::number("Current", "status.currentNumberScheduled"),
        Column::number("Ready", "status.numberReady"),
        Column::number("Up-to-date", "status.updatedNumberScheduled"),
        Column::number("Available", "status.numberAvailable"),
        Column::with("Node Selector", |o| labels(o.at("spec.template.spec.nodeSelector")).into()),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    ..ResourceDef::namespaced(
        "apps",
        "DaemonSet",
        "daemonsets",
        "daemonset",
        &[Version::on("v1", "io.k8s.api.apps.v1.DaemonSet")],
    )
};
