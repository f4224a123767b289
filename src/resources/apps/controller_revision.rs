//! ControllerRevision: a past template of a DaemonSet or StatefulSet.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::with("Controller", controller),
        Column::number("Revision", "revision").of("string"),
        Column::AGE,
    ],
    rules: &ControllerRevision,
    ..ResourceDef::namespaced(
        "apps",
        "ControllerRevision",
        "controllerrevisions",
        "controllerrevision",
        &[Version::on("v1", "io.k8s.api.apps.v1.ControllerRevision")],
    )
};

fn controller(object: &Tree) -> Tree {
    let mut owners = object.items("metadata.ownerReferences").iter();
    let Some(owner) = owners.find(|owner| owner.flag("controller") == Some(true)) else { return "<none>".into() };
    let kind = owner.text("kind").to_lowercase();
    match owner.text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", owner.text("name")),
        None => format!("{kind}/{}", owner.text("name")),
    }
    .into()
}

pub struct ControllerRevision;

impl Rules for ControllerRevision {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let root = At::root(new);
        root.child("revision").nonnegative(errors);
        let data = root.child("data");
        match old {
            Some(old) => immutable(errors, new, old, "data"),
            None if !data.exists() => data.required(errors, "data is mandatory"),
            None if !data.value.is_object() => data.required(errors, "data must be a valid JSON object"),
            None => (),
        }
    }
}
