//! ComponentStatus: health of the control plane's parts, worked out on each read.

use crate::resources::{ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["cs"],
    verbs: Verbs::ReadOnly,
    ..ResourceDef::cluster(
        "",
        "ComponentStatus",
        "componentstatuses",
        "componentstatus",
        &[Version::on("v1", "io.k8s.api.core.v1.ComponentStatus")],
    )
};
