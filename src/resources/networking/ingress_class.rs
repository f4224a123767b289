//! IngressClass: which controller serves an Ingress.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::path("Controller", "spec.controller"),
        Column::with("Parameters", parameters),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "networking.k8s.io",
        "IngressClass",
        "ingressclasses",
        "ingressclass",
        &[Version::on("v1", "io.k8s.api.networking.v1.IngressClass")],
    )
};

fn parameters(object: &Tree) -> Tree {
    let Some(parameters) = object.at("spec.parameters") else { return "<none>".into() };
    let (kind, group, name) = (parameters.text("kind"), parameters.text("apiGroup"), parameters.text("name"));
    if parameters.has("apiGroup") { format!("{kind}.{group}/{name}") } else { format!("{kind}/{name}") }.into()
}
