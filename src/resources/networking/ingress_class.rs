//! IngressClass: which controller serves an Ingress.

use super::check_local_reference;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::names;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::path("Controller", "spec.controller"),
        Column::with("Parameters", parameters),
        Column::AGE,
    ],
    rules: &IngressClass,
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

pub struct IngressClass;

impl Rules for IngressClass {
    fn default(&self, new: &mut Tree) {
        if new.has("spec.parameters") {
            new.set_default("spec.parameters.scope", "Cluster");
        }
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            immutable(errors, new, old, "spec.controller");
        }
        let (controller, parameters) = (At::root(new).child("spec.controller"), At::root(new).child("spec.parameters"));
        if controller.len() > 250 {
            errors.too_long(&*controller.path, 250);
        }
        names::check_prefixed_path(&controller, errors);
        if parameters.exists() {
            check_parameters(&parameters, errors);
        }
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn check_parameters(parameters: &At, errors: &mut FieldErrors) {
    check_local_reference(parameters, errors);
    let (scope, namespace) = (parameters.child("scope"), parameters.child("namespace"));
    match scope.str() {
        "Namespace" if !namespace.exists() => {
            namespace.required(errors, "`parameters.scope` is set to 'Namespace'");
        }
        "Namespace" => namespace.format(errors, names::is_dns1123_label(namespace.str())),
        "Cluster" if namespace.exists() => namespace.forbidden(errors, "`parameters.scope` is set to 'Cluster'"),
        "Cluster" => (),
        _ => scope.not_supported(errors, &["Cluster", "Namespace"]),
    }
}
