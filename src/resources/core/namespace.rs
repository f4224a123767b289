//! Namespace: a room for names, and what is deleted as one.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at};
use crate::resources::names;
use crate::resources::{Column, ResourceDef, Rules, Special, Subresource, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ns"],
    verbs: Verbs::NoDeleteCollection,
    subresources: &[Special::own("finalize", &["update"]), Subresource::Status],
    selectable: &["status.phase"],
    columns: &[Column::NAME, Column::path("Status", "status.phase"), Column::AGE],
    rules: &Namespace,
    ..ResourceDef::cluster(
        "",
        "Namespace",
        "namespaces",
        "namespace",
        &[Version::on("v1", "io.k8s.api.core.v1.Namespace")],
    )
};

pub struct Namespace;

impl Rules for Namespace {
    fn default(&self, new: &mut Tree) {
        let name = new.text("metadata.name").to_owned();
        if !name.is_empty() {
            new.set_default("metadata.labels", json!({}));
            if let Some(labels) = new.at_mut("metadata.labels").and_then(Tree::as_object_mut) {
                labels.insert("kubernetes.io/metadata.name".into(), name.into());
            }
        }
        if new.text("status.phase").is_empty() {
            new.set("status.phase", "Active");
        }
    }

    fn prepare_create(&self, new: &mut Tree) {
        new.set("status", json!({"phase": "Active"}));
        let mut finalizers = new.items("spec.finalizers").to_vec();
        if !finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
            finalizers.push("kubernetes".into());
            new.set("spec.finalizers", finalizers);
        }
    }

    fn prepare_update(&self, new: &mut Tree, old: &Tree) {
        new.set("spec", at(old, "spec").clone()); // only `finalize` changes it
    }

    fn prepare_subresource(&self, _subresource: &str, new: &mut Tree, old: &Tree) {
        new.set("status", at(old, "status").clone());
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if old.is_none() {
            for finalizer in new.items("spec.finalizers") {
                check_finalizer(&At::new(finalizer, "spec.finalizers"), errors);
            }
        }
    }

    fn validate_subresource(&self, _subresource: &str, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        At::root(new).child("spec.finalizers").items().for_each(|finalizer| check_finalizer(&finalizer, errors));
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        let deleting = new.has("metadata.deletionTimestamp");
        let (wanted, when) = if deleting { ("Terminating", "is not empty") } else { ("Active", "is empty") };
        let phase = new.text("status.phase");
        if phase != wanted {
            errors.invalid("status.Phase", phase, format!("may only be '{wanted}' if `deletionTimestamp` {when}"));
        }
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        names::dns1123_label(name, is_prefix)
    }
}

fn check_finalizer(finalizer: &At, errors: &mut FieldErrors) {
    finalizer.format(errors, names::is_qualified_name(finalizer.str()));
    if !finalizer.str().contains('/') && !matches!(finalizer.str(), "kubernetes" | "orphan" | "foregroundDeletion") {
        finalizer.invalid_text(errors, "name is neither a standard finalizer name nor is it fully qualified");
    }
}
