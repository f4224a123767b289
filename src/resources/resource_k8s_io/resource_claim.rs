//! ResourceClaim: a request for devices.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "resource.k8s.io",
        "ResourceClaim",
        "resourceclaims",
        "resourceclaim",
        &[
            Version::on("v1", "io.k8s.api.resource.v1.ResourceClaim"),
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.ResourceClaim"),
            Version::off("v1beta1", "io.k8s.api.resource.v1beta1.ResourceClaim"),
        ],
    )
};
