//! Workload: groups of pods as the scheduler sees them.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::AGE],
    ..ResourceDef::namespaced(
        "scheduling.k8s.io",
        "Workload",
        "workloads",
        "workload",
        &[Version::off("v1alpha2", "io.k8s.api.scheduling.v1alpha2.Workload")],
    )
};
