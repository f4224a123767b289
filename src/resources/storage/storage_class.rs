//! StorageClass: how volumes are made.

use super::check_parameters;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::names;
use crate::resources::{Column, ResourceDef, Rules, Version};
use std::collections::BTreeSet;

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sc"],
    columns: &[
        Column::NAME,
        Column::path("Provisioner", "provisioner"),
        Column::path_or("ReclaimPolicy", "reclaimPolicy", "Delete"),
        Column::path_or("VolumeBindingMode", "volumeBindingMode", "Immediate"),
        Column::with("AllowVolumeExpansion", |o| o.flag("allowVolumeExpansion").unwrap_or(false).into()),
        Column::AGE,
    ],
    rules: &StorageClass,
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "StorageClass",
        "storageclasses",
        "storageclass",
        &[Version::on("v1", "io.k8s.api.storage.v1.StorageClass")],
    )
};

pub struct StorageClass;

impl Rules for StorageClass {
    fn default(&self, new: &mut Tree) {
        new.set_default("reclaimPolicy", "Delete");
        new.set_default("volumeBindingMode", "Immediate");
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                immutable(errors, new, old, field);
            }
            return;
        }
        let root = At::root(new);
        let (provisioner, policy, mode) =
            (root.child("provisioner"), root.child("reclaimPolicy"), root.child("volumeBindingMode"));
        if provisioner.is_empty() {
            provisioner.required(errors, "");
        } else {
            let lower = provisioner.str().to_lowercase();
            for complaint in names::is_qualified_name(&lower) {
                errors.invalid(&*provisioner.path, &*lower, complaint);
            }
        }
        check_parameters(&root.child("parameters"), true, errors);
        if !policy.is_empty() && !matches!(policy.str(), "Delete" | "Retain") {
            policy.not_supported(errors, &["Delete", "Retain"]);
        }
        if !matches!(mode.str(), "Immediate" | "WaitForFirstConsumer") {
            mode.not_supported(errors, &["Immediate", "WaitForFirstConsumer"]);
        }
        check_topologies(&root.child("allowedTopologies"), errors);
    }
}

fn check_topologies(topologies: &At, errors: &mut FieldErrors) {
    let mut terms: Vec<&Tree> = Vec::new();
    for term in topologies.items() {
        let mut keys = BTreeSet::new();
        for requirement in term.child("matchLabelExpressions").items() {
            let (key, values) = (requirement.child("key"), requirement.child("values"));
            if values.is_empty() {
                values.required(errors, "");
            }
            let mut seen = BTreeSet::new();
            for value in values.items() {
                if !seen.insert(value.str()) {
                    value.duplicate(errors);
                }
            }
            key.format(errors, names::is_qualified_name(key.str()));
            if !keys.insert(key.str()) {
                key.duplicate(errors);
            }
        }
        if terms.contains(&term.value) {
            errors.duplicate(term.path_to("matchLabelExpressions"), "");
        }
        terms.push(term.value);
    }
}
