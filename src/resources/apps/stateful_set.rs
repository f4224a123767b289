//! StatefulSet: pods with stable names and storage.

use crate::resources::{ResourceDef, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sts"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    ..ResourceDef::namespaced(
        "apps",
        "StatefulSet",
        "statefulsets",
        "statefulset",
        &[Version::on("v1", "io.k8s.api.apps.v1.StatefulSet")],
    )
};
