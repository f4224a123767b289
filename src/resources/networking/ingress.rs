//! Ingress: hTTP routes from outside to services.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ing"],
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "networking.k8s.io",
        "Ingress",
        "ingresses",
        "ingress",
        &[Version::on("v1", "io.k8s.api.networking.v1.Ingress")],
    )
};
