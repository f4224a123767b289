//! EndpointSlice: some of the addresses behind a service.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::namespaced(
        "discovery.k8s.io",
        "EndpointSlice",
        "endpointslices",
        "endpointslice",
        &[Version::on("v1", "io.k8s.api.discovery.v1.EndpointSlice")],
    )
};
