//! Resources of apps.

pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod stateful_set;

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::labels::is_empty_selector;
use crate::resources::podspec::template;
use crate::resources::{inner, numbers};

/// Ready of wished replicas.
fn ready(object: &Tree) -> Tree {
    let number = |path| object.int(path).unwrap_or(0);
    format!("{}/{}", number("status.readyReplicas"), number("spec.replicas")).into()
}

/// The selector and template of pods that are equal: its pods are picked by it and always restarted.
fn check_replicas(spec: &At, owner: &str, errors: &mut FieldErrors) {
    let (selector, pods) = (spec.child("selector"), spec.child("template"));
    if !template::check_selector(&selector, owner, errors) {
        errors.invalid_shown(&*selector.path, &inner::compact("selector", selector.value), "invalid label selector");
        return;
    }
    if !selector.exists() || !is_empty_selector(selector.value) {
        template::check_selected(&pods, &selector, errors);
    }
    template::check(&pods, errors);
    template::check_long_running(&pods, "ReplicaSet", errors);
}

/// The status of a ReplicaSet or ReplicationController.
pub fn check_replica_status(status: &At, errors: &mut FieldErrors) {
    const COUNTS: &[&str] = &[
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ];
    numbers::check_counts(status, COUNTS, errors);
    for part in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
        numbers::check_part(status, part, "replicas", "status.replicas", errors);
    }
    numbers::check_part(status, "availableReplicas", "readyReplicas", "readyReplicas", errors);
}
