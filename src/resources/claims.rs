//! The spec of a PersistentVolumeClaim, also inside templates.

use crate::object::field::FieldErrors;
use crate::object::tree::TreePath;

use super::check::At;
use super::labels::{check_annotations, check_labels, check_selector};
use super::{names, quantities};

pub const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

/// A claim's template, in an ephemeral volume: of its metadata only labels and annotations count.
pub fn check_template(template: &At, errors: &mut FieldErrors) {
    let meta = template.child("metadata");
    check_annotations(&meta.child("annotations"), errors);
    check_labels(&meta.child("labels"), errors);
    for field in ["name", "generateName", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers"] {
        if !meta.child(field).is_empty() {
            meta.child(field).forbidden(errors, "cannot be set");
        }
    }
    check_spec(&template.child("spec"), errors);
}

pub fn check_spec(spec: &At, errors: &mut FieldErrors) {
    let modes = spec.child("accessModes");
    if modes.is_empty() {
        modes.required(errors, "at least 1 access mode is required");
    }
    check_selector(&spec.child("selector"), errors);
    check_access_modes(&modes, errors);
    let storage = spec.child("resources.requests.storage");
    let named = At::new(storage.value, format!("{}[storage]", spec.path_to("resources")));
    if storage.exists() {
        quantities::check_positive(&named, errors);
    } else {
        named.required(errors, "");
    }
    check_class(&spec.child("storageClassName"), errors);
    let mode = spec.child("volumeMode");
    if mode.exists() && !VOLUME_MODES.contains(&mode.str()) {
        mode.not_supported(errors, VOLUME_MODES);
    }
    let (source, reference) = (spec.child("dataSource"), spec.child("dataSourceRef"));
    for from in [&source, &reference] {
        check_data_source(from, errors);
    }
    if !reference.text("namespace").is_empty() {
        if source.exists() {
            errors.invalid(
                &*spec.path,
                &*source.path,
                "may not be specified when dataSourceRef.namespace is specified",
            );
        }
    } else if source.exists() && reference.exists() {
        let same = |field| source.value.at(field) == reference.value.at(field);
        if !["apiGroup", "kind", "name"].into_iter().all(same) {
            errors.invalid(&*spec.path, &*source.path, "must match dataSourceRef");
        }
    }
    check_class(&spec.child("volumeAttributesClassName"), errors);
}

/// Known modes; the one for a single pod excludes the others.
pub fn check_access_modes(modes: &At, errors: &mut FieldErrors) {
    let (mut single, mut other) = (false, false);
    for mode in modes.items() {
        let known = ACCESS_MODES.contains(&mode.str());
        if !known {
            errors.not_supported(&*modes.path, mode.str(), ACCESS_MODES);
        }
        single |= mode.str() == "ReadWriteOncePod";
        other |= known && mode.str() != "ReadWriteOncePod";
    }
    if single && other {
        modes.forbidden(errors, "may not use ReadWriteOncePod with other access modes");
    }
}

/// The name of a class, which may be absent or empty.
pub fn check_class(class: &At, errors: &mut FieldErrors) {
    if !class.is_empty() {
        class.format(errors, names::is_dns1123_subdomain(class.str()));
    }
}

fn check_data_source(source: &At, errors: &mut FieldErrors) {
    if !source.exists() {
        return;
    }
    for field in ["name", "kind"] {
        if source.text(field).is_empty() {
            source.child(field).required(errors, "");
        }
    }
    let group = source.child("apiGroup");
    if group.is_empty() && source.text("kind") != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.invalid(&*source.path, source.text("kind"), detail);
    }
    if !group.is_empty() {
        group.format(errors, names::is_dns1123_subdomain(group.str()));
    }
    let namespace = source.child("namespace");
    if !namespace.is_empty() {
        namespace.format(errors, names::is_dns1123_label(namespace.str()));
    }
}
