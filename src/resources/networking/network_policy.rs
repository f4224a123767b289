//! NetworkPolicy: who may talk to a set of pods.

use crate::object::tree::TreePath;
use crate::resources::cells::selector;
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["netpol"],
    columns: &[Column::NAME, Column::with("Pod-Selector", |o| selector(o.at("spec.podSelector")).into()), Column::AGE],
    ..ResourceDef::namespaced(
        "networking.k8s.io",
        "NetworkPolicy",
        "networkpolicies",
        "networkpolicy",
        &[Version::on("v1", "io.k8s.api.networking.v1.NetworkPolicy")],
    )
};
