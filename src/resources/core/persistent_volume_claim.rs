//! PersistentVolumeClaim: a request for storage by a user of a namespace.

use super::persistent_volume::{access_modes, class, phase};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::cells::text_or;
use crate::resources::check::{At, at};
use crate::resources::claims;
use crate::resources::defaults::set_if_empty;
use crate::resources::inner;
use crate::resources::podspec::update::put_back;
use crate::resources::quantities::amount;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

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
    rules: &PersistentVolumeClaim,
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

pub struct PersistentVolumeClaim;

impl Rules for PersistentVolumeClaim {
    fn default(&self, new: &mut Tree) {
        set_if_empty(new, "status.phase", "Pending");
        new.set_default("spec.volumeMode", "Filesystem");
    }

    fn prepare_create(&self, new: &mut Tree) {
        new.set("status", json!({"phase": "Pending"}));
        // A source that is not known, or in another namespace, is not refused but forgotten.
        let source = at(new, "spec.dataSource");
        let known = match source.text("apiGroup") {
            "" => source.text("kind") == "PersistentVolumeClaim",
            group => group == "snapshot.storage.k8s.io" && source.text("kind") == "VolumeSnapshot",
        };
        if !known {
            new.unset("spec.dataSource");
        }
        if !new.text("spec.dataSourceRef.namespace").is_empty() {
            new.unset("spec.dataSourceRef");
        }
        // Either names the source; both are kept.
        for (from, to) in [("dataSource", "dataSourceRef"), ("dataSourceRef", "dataSource")] {
            let source = at(new, &format!("spec.{from}")).clone();
            if source.is_object() && source.text("namespace").is_empty() {
                new.set_default(&format!("spec.{to}"), source);
            }
        }
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        claims::check_spec(&At::root(new).child("spec"), errors);
        if let Some(old) = old {
            check_update(new, old, errors);
        }
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        for list in ["status.capacity", "status.allocatedResources"] {
            for (_, value) in At::root(new).child(list).entries() {
                if amount(value.value).is_negative() {
                    let shown = amount(value.value).value();
                    errors.invalid(&*value.path, shown, "must be a valid resource quantity");
                }
            }
        }
    }
}

/// A bound claim may grow, and change its attributes; nothing else changes.
fn check_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    const SIZE: &str = "spec.resources.requests.storage";
    let mut rest = at(new, "spec").clone();
    let before = at(old, "spec");
    if old.text("spec.volumeName").is_empty() {
        // The controller binds it.
        match before.get("volumeName") {
            Some(name) => drop(rest.set("volumeName", name.clone())),
            None => drop(rest.unset("volumeName")),
        }
    }
    if !before.has("storageClassName") && new.has("spec.storageClassName") {
        put_back(&mut rest, before, "storageClassName");
    }
    if new.text("status.phase") == "Bound" {
        put_back(&mut rest, before, "volumeAttributesClassName");
        let size = at(old, SIZE).clone();
        if !size.is_null() {
            rest.set("resources.requests.storage", size);
        }
    }
    if &rest != before {
        const WHY: &str =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        let mut before = before.clone();
        if before.text("volumeName").is_empty() {
            put_back(&mut before, at(new, "spec"), "volumeName");
            put_back(&mut rest, at(new, "spec"), "volumeName");
        }
        let changed = inner::difference("PersistentVolumeClaimSpec", &before, &rest);
        errors.forbidden("spec", format!("{WHY}\n{changed}"));
    }
    let (size, before) = (amount(at(new, SIZE)), amount(at(old, SIZE)));
    if size < before && size <= amount(at(old, "status.capacity.storage")) {
        errors.forbidden(SIZE, "field can not be less than status.capacity");
    }
    At::new(at(new, "spec.volumeMode"), "volumeMode").immutable(errors, at(old, "spec.volumeMode"));
    let class = At::root(new).child("spec.volumeAttributesClassName");
    if old.has("status.currentVolumeAttributesClassName") && class.value != at(old, "spec.volumeAttributesClassName") {
        let to = if class.exists() { "empty string" } else { "nil" };
        if class.is_empty() {
            let detail = format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
            class.forbidden(errors, detail);
        }
    }
}
