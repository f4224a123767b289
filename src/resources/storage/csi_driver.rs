//! CSIDriver: what a storage driver can do.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::with("AttachRequired", |o| o.flag("spec.attachRequired").unwrap_or(true).into()).of("boolean"),
        Column::with("PodInfoOnMount", |o| o.flag("spec.podInfoOnMount").unwrap_or(false).into()).of("boolean"),
        Column::with("StorageCapacity", |o| o.flag("spec.storageCapacity").unwrap_or(false).into()).of("boolean"),
        Column::with("TokenRequests", audiences),
        Column::with("RequiresRepublish", |o| o.flag("spec.requiresRepublish").unwrap_or(false).into()).of("boolean"),
        Column::with("Modes", modes),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "CSIDriver",
        "csidrivers",
        "csidriver",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSIDriver")],
    )
};

fn audiences(object: &Tree) -> Tree {
    let requests = object.items("spec.tokenRequests");
    if requests.is_empty() && !object.has("spec.tokenRequests") {
        return "<unset>".into();
    }
    requests.iter().map(|request| request.text("audience")).collect::<Vec<_>>().join(",").into()
}

fn modes(object: &Tree) -> Tree {
    let modes: Vec<&str> = object.items("spec.volumeLifecycleModes").iter().filter_map(Tree::as_str).collect();
    if modes.is_empty() { "<none>".into() } else { modes.join(",").into() }
}
