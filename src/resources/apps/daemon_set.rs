//! DaemonSet: one pod on every fitting node.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ds"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "apps",
        "DaemonSet",
        "daemonsets",
        "daemonset",
        &[Version::on("v1", "io.k8s.api.apps.v1.DaemonSet")],
    )
};
