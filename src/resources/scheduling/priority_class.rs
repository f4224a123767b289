//! PriorityClass: a name for how important pods are.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pc"],
    ..ResourceDef::cluster(
        "scheduling.k8s.io",
        "PriorityClass",
        "priorityclasses",
        "priorityclass",
        &[Version::on("v1", "io.k8s.api.scheduling.v1.PriorityClass")],
    )
};
