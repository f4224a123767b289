//! PriorityClass: a name for how important pods are.

use crate::object::tree::TreePath;
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pc"],
    columns: &[
        Column::NAME,
        Column::number("Value", "value"),
        Column::with("Global-Default", |o| o.flag("globalDefault").unwrap_or(false).into()).of("boolean"),
        Column::AGE,
        Column::path("PreemptionPolicy", "preemptionPolicy"),
    ],
    ..ResourceDef::cluster(
        "scheduling.k8s.io",
        "PriorityClass",
        "priorityclasses",
        "priorityclass",
        &[Version::on("v1", "io.k8s.api.scheduling.v1.PriorityClass")],
    )
};
