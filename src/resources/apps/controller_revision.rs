//! ControllerRevision: a past template of a DaemonSet or StatefulSet.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::with("Controller", controller),
        Column::number("Revision", "revision").of("string"),
        Column::AGE,
    ],
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
