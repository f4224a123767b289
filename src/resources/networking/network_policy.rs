//! NetworkPolicy: who may talk to a set of pods.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["netpol"],
    ..ResourceDef::namespaced(
        "networking.k8s.io",
        "NetworkPolicy",
        "networkpolicies",
        "networkpolicy",
        &[Version::on("v1", "io.k8s.api.networking.v1.NetworkPolicy")],
    )
};
