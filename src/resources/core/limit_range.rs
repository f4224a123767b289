//! LimitRange: defaults and limits of resources for what a namespace holds.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["limits"],
    columns: &[Column::NAME, Column::CREATED_AT],
    ..ResourceDef::namespaced(
        "",
        "LimitRange",
        "limitranges",
        "limitrange",
        &[Version::on("v1", "io.k8s.api.core.v1.LimitRange")],
    )
};
