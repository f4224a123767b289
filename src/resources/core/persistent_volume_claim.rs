//! PersistentVolumeClaim: a request for storage by a user of a namespace.

use super::persistent_volume::{access_modes, class, phase};
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::text_or;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pvc"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::with("Status", phase),
        Column::path("Volume", "spec.volumeName"),
        Column::with("Capacity", capacity),
        Column::with("Access Modes", modes),
        Column::with("StorageClass", |o| class(o).into()),
        Column::path_or("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        Column::AGE,
        Column::path_or("VolumeMode", "spec.volumeMode", "<unset>").wide(),
    ],
    ..ResourceDef::namespaced(
        "",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        &[Version::on("v1", "io.k8s.api.core.v1.PersistentVolumeClaim")],
    )
};

fn is_bound(claim: &Tree) -> bool {
    !claim.text("spec.volumeName").is_empty()
}

fn capacity(claim: &Tree) -> Tree {
    if is_bound(claim) { text_or(claim, "status.capacity.storage", "0").into() } else { "".into() }
}

fn modes(claim: &Tree) -> Tree {
    if is_bound(claim) { access_modes(claim, "status.accessModes").into() } else { "".into() }
}
