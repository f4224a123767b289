//! ResourceQuota: how much a namespace may use altogether.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["quota"],
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "",
        "ResourceQuota",
        "resourcequotas",
        "resourcequota",
        &[Version::on("v1", "io.k8s.api.core.v1.ResourceQuota")],
    )
};
