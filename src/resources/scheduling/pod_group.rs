//! PodGroup: pods that are scheduled together.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "scheduling.k8s.io",
        "PodGroup",
        "podgroups",
        "podgroup",
        &[Version::off("v1alpha2", "io.k8s.api.scheduling.v1alpha2.PodGroup")],
    )
};
