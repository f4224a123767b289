//! FlowSchema: which requests have which priority level.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        "flowschemas",
        "flowschema",
        &[Version::on("v1", "io.k8s.api.flowcontrol.v1.FlowSchema")],
    )
};
