//! The checks of `metadata`, which are the same for every resource.

use std::collections::BTreeSet;

use crate::object::field::{Complaint, FieldErrors};
use crate::object::tree::{Tree, TreePath, json};

use super::check::At;
use super::labels::{check_annotations, check_labels};
use super::names;
use super::resource::Resource;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Checks the metadata of an object that is to be created, or to replace `old`.
pub fn validate(resource: &Resource, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
    let name_format = |name: &str, is_prefix: bool| resource.rules.validate_name(name, is_prefix);
    let meta = At::root(new).child("metadata");
    match old {
        None => check_create(&meta, resource.is_namespaced(), &name_format, errors),
        // Once as if it were created, then what changed, and that once more by its kind: clients see
        // each cause so often.
        Some(old) => {
            check_create(&meta, resource.is_namespaced(), &names::path_segment, errors);
            let before = errors.list.len();
            check_update(new, old, errors);
            errors.list.extend_from_within(before..);
        }
    }
    // Only upstream's core validation looks at finalizers without a domain; apps and batch use it too.
    if matches!(&*resource.group, "" | "apps" | "batch") {
        check_kube_finalizers(&meta, errors);
    }
}

/// Finalizers without a domain have to be Kubernetes' own.
pub fn check_kube_finalizers(meta: &At, errors: &mut FieldErrors) {
    for finalizer in meta.child("finalizers").items() {
        if !finalizer.str().contains('/') && !matches!(finalizer.str(), "kubernetes" | ORPHAN | FOREGROUND) {
            finalizer.invalid_text(errors, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

/// Metadata of an object, or of a template that is to become one.
pub fn check_create(
    meta: &At,
    is_namespaced: bool,
    name_format: &dyn Fn(&str, bool) -> Vec<String>,
    errors: &mut FieldErrors,
) {
    let (name, prefix) = (meta.child("name"), meta.child("generateName"));
    if !prefix.is_empty() {
        prefix.format(errors, name_format(prefix.str(), true));
    }
    if name.is_empty() {
        name.required(errors, "name or generateName is required");
    } else {
        name.format(errors, name_format(name.str(), false));
    }
    let namespace = meta.child("namespace");
    match (is_namespaced, namespace.str()) {
        (true, "") => namespace.required(errors, ""),
        (true, text) => namespace.format(errors, names::is_dns1123_label(text)),
        (false, "") => (),
        (false, _) => namespace.forbidden(errors, "not allowed on this type"),
    }
    meta.child("generation").nonnegative(errors);
    check_common(meta, errors);
    check_finalizers(&meta.child("finalizers"), errors);
    check_managed_fields(&meta.child("managedFields"), errors);
}

fn check_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let meta = At::root(new).child("metadata");
    if old.has("metadata.deletionTimestamp") {
        check_no_new_finalizers(&meta.child("finalizers"), old, errors);
    }
    if meta.child("resourceVersion").is_empty() {
        meta.child("resourceVersion").invalid_text(errors, "must be specified for an update");
    }
    if new.int("metadata.generation").unwrap_or(0) < old.int("metadata.generation").unwrap_or(0) {
        meta.child("generation").invalid(errors, "must not be decremented");
    }
    const IMMUTABLE: &[&str] =
        &["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in IMMUTABLE {
        super::check::immutable(errors, new, old, &format!("metadata.{field}"));
    }
    check_common(&meta, errors);
    check_managed_fields(&meta.child("managedFields"), errors);
}

fn check_common(meta: &At, errors: &mut FieldErrors) {
    check_labels(&meta.child("labels"), errors);
    check_annotations(&meta.child("annotations"), errors);
    check_owners(&meta.child("ownerReferences"), errors);
}

fn check_owners(owners: &At, errors: &mut FieldErrors) {
    let mut controller: Option<String> = None;
    for owner in owners.items() {
        // Upstream names the list, not its element.
        let field = |name: &str| At::new(owner.child(name).value, owners.path_to(name));
        let (_, version) = owner.text("apiVersion").rsplit_once('/').unwrap_or(("", owner.text("apiVersion")));
        if version.is_empty() {
            field("apiVersion").invalid_text(errors, "version must not be empty");
        }
        for name in ["kind", "name", "uid"] {
            if owner.text(name).is_empty() {
                field(name).invalid_text(errors, "must not be empty");
            }
        }
        if owner.text("apiVersion") == "v1" && owner.text("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.invalid(&*owners.path, owner.value.clone(), detail);
        }
        if owner.value.flag("controller") == Some(true) {
            let this = format!("{}/{}", owner.text("kind"), owner.text("name"));
            match &controller {
                Some(first) => owners.invalid(
                    errors,
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    ),
                ),
                None => controller = Some(this),
            }
        }
    }
}

fn check_finalizers(finalizers: &At, errors: &mut FieldErrors) {
    for finalizer in finalizers.items() {
        for complaint in names::is_qualified_name(finalizer.str()) {
            errors.invalid(&*finalizers.path, finalizer.str(), complaint);
        }
    }
    let has = |name: &str| finalizers.items().any(|finalizer| finalizer.str() == name);
    if has(ORPHAN) && has(FOREGROUND) {
        finalizers.invalid(errors, format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set"));
    }
}

fn check_no_new_finalizers(finalizers: &At, old: &Tree, errors: &mut FieldErrors) {
    let known: BTreeSet<&str> = old.items("metadata.finalizers").iter().filter_map(Tree::as_str).collect();
    let added: BTreeSet<&str> = finalizers.items().map(|f| f.str()).filter(|name| !known.contains(name)).collect();
    if !added.is_empty() {
        let list: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
        let list = list.join(", ");
        finalizers.forbidden(
            errors,
            format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
            ),
        );
    }
}

fn check_managed_fields(entries: &At, errors: &mut FieldErrors) {
    for entry in entries.items() {
        if !matches!(entry.text("operation"), "Apply" | "Update") {
            entry.child("operation").invalid_text(errors, "must be `Apply` or `Update`");
        }
        if !matches!(entry.text("fieldsType"), "" | "FieldsV1") {
            entry.child("fieldsType").invalid_text(errors, "must be `FieldsV1`");
        }
        check_field_manager(&entry.child("manager"), errors);
        if entry.child("subresource").len() > 256 {
            errors.too_long(entry.path_to("subresource"), 256);
        }
    }
}

/// The name of a field manager, also where it is an option of a request.
pub fn check_field_manager(manager: &At, errors: &mut FieldErrors) {
    if manager.len() > 128 {
        errors.too_long(&*manager.path, 128);
    }
    for (at, c) in manager.str().char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", c as u32);
        errors.push(Complaint::Invalid, &*manager.path, detail, Some(json!(manager.str())));
    }
}
