//! PodTemplate: a template of pods, stored by itself.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::namespaced(
        "",
        "PodTemplate",
        "podtemplates",
        "podtemplate",
        &[Version::on("v1", "io.k8s.api.core.v1.PodTemplate")],
    )
};
