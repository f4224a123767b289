//! StorageVersionMigration: rewrites the objects of a resource in its storage version.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[Column::NAME, Column::with("Resource", resource), Column::with("Status", status)],
    ..ResourceDef::cluster(
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        "storageversionmigrations",
        "storageversionmigration",
        &[Version::off("v1beta1", "io.k8s.api.storagemigration.v1beta1.StorageVersionMigration")],
    )
};

fn resource(object: &Tree) -> Tree {
    let (group, resource) = (object.text("spec.resource.group"), object.text("spec.resource.resource"));
    if group.is_empty() { resource.into() } else { format!("{resource}.{group}").into() }
}

fn status(object: &Tree) -> Tree {
    let conditions = object.items("status.conditions").iter().filter(|condition| condition.text("status") == "True");
    let kinds = conditions.map(|condition| condition.text("type"));
    kinds.filter(|kind| matches!(*kind, "Running" | "Failed" | "Succeeded")).last().unwrap_or("Unknown").into()
}
