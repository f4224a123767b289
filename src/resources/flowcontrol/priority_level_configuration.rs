//! PriorityLevelConfiguration: how many requests of a level run at once.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        "prioritylevelconfiguration",
        &[Version::on("v1", "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration")],
    )
};
