//! StatefulSet: pods with stable names and storage.

use super::ready;
use crate::resources::cells::{CONTAINERS, IMAGES};
use crate::resources::{Column, ResourceDef, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sts"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    columns: &[Column::NAME, Column::with("Ready", ready), Column::AGE, CONTAINERS, IMAGES],
    ..ResourceDef::namespaced(
        "apps",
        "StatefulSet",
        "statefulsets",
        "statefulset",
        &[Version::on("v1", "io.k8s.api.apps.v1.StatefulSet")],
    )
};
