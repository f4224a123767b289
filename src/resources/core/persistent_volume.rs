//! PersistentVolume: a piece of storage in the cluster.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pv"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path_or("Capacity", "spec.capacity.storage", "0"),
        Column::with("Access Modes", |o| access_modes(o, "spec.accessModes").into()),
        Column::path("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        Column::with("Status", phase),
        Column::with("Claim", claim),
        Column::with("StorageClass", |o| class(o).into()),
        Column::path_or("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        Column::path("Reason", "status.reason"),
        Column::AGE,
        Column::path_or("VolumeMode", "spec.volumeMode", "<unset>").wide(),
    ],
    ..ResourceDef::cluster(
        "",
        "PersistentVolume",
        "persistentvolumes",
        "persistentvolume",
        &[Version::on("v1", "io.k8s.api.core.v1.PersistentVolume")],
    )
};

/// Access modes in upstream's short forms.
pub fn access_modes(object: &Tree, path: &str) -> String {
    const SHORT: &[(&str, &str)] =
        &[("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| object.items(path).iter().any(|item| item.as_str() == Some(mode));
    SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// The phase, or that it is being deleted.
pub fn phase(object: &Tree) -> Tree {
    if object.has("metadata.deletionTimestamp") { "Terminating" } else { object.text("status.phase") }.into()
}

/// The storage class: an old annotation wins over the field.
pub fn class(object: &Tree) -> String {
    let annotation =
        object.at("metadata.annotations").and_then(|map| map.get("volume.beta.kubernetes.io/storage-class"));
    annotation.and_then(Tree::as_str).unwrap_or_else(|| object.text("spec.storageClassName")).to_owned()
}

fn claim(object: &Tree) -> Tree {
    match object.at("spec.claimRef") {
        Some(claim) => format!("{}/{}", claim.text("namespace"), claim.text("name")).into(),
        None => "".into(),
    }
}
