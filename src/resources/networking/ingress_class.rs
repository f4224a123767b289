//! IngressClass: which controller serves an Ingress.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::cluster(
        "networking.k8s.io",
        "IngressClass",
        "ingressclasses",
        "ingressclass",
        &[Version::on("v1", "io.k8s.api.networking.v1.IngressClass")],
    )
};
