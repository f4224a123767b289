//! The conditions of definitions.

use crate::object::Timestamp;
use crate::object::tree::{Tree, TreePath, json};

use super::names::{Used, accept};

pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether the condition `kind` is `True`.
pub fn is_true(definition: &Tree, kind: &str) -> bool {
    definition.items("status.conditions").iter().any(|c| c.text("type") == kind && c.text("status") == "True")
}

pub fn has_finalizer(definition: &Tree) -> bool {
    definition.items("metadata.finalizers").iter().any(|finalizer| finalizer == FINALIZER)
}

/// Marks a definition whose deletion is asked for: first its objects go, then it goes itself.
pub fn begin_deletion(definition: &mut Tree, now: Timestamp) {
    definition.set("metadata.deletionTimestamp", now);
    if !has_finalizer(definition) {
        let mut finalizers = definition.items("metadata.finalizers").to_vec();
        finalizers.push(FINALIZER.into());
        definition.set("metadata.finalizers", finalizers);
    }
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(definition, "Terminating", true, "InstanceDeletionPending", message, now);
}

/// Sets names and the conditions that follow from them, `used` being the names that are given out in
/// the definition's group.
pub fn settle_names(definition: &mut Tree, used: &Used, now: Timestamp) {
    let accepted = accept(definition, used);
    if definition.at("status.acceptedNames") != Some(&accepted.names) {
        definition.set("status.acceptedNames", accepted.names);
    }
    match accepted.conflict {
        Some((reason, message)) => {
            set_condition(definition, "NamesAccepted", false, reason, &message, now);
            if !is_true(definition, "Established") {
                set_condition(definition, "Established", false, "NotAccepted", "not all names are accepted", now);
            }
        }
        None => {
            set_condition(definition, "NamesAccepted", true, "NoConflicts", "no conflicts found", now);
            let message = "the initial names have been accepted";
            set_condition(definition, "Established", true, "InitialNamesAccepted", message, now);
        }
    }
}

/// Sets a condition; its time changes only with its status.
pub fn set_condition(definition: &mut Tree, kind: &str, status: bool, reason: &str, message: &str, now: Timestamp) {
    let status = if status { "True" } else { "False" };
    let mut conditions = definition.items("status.conditions").to_vec();
    let known = conditions.iter_mut().find(|condition| condition.text("type") == kind);
    let fresh = json!({
        "type": kind, "status": status, "lastTransitionTime": Tree::from(now), "reason": reason, "message": message,
    });
    match known {
        Some(condition) if condition.text("status") == status => {
            condition.set("reason", reason);
            condition.set("message", message);
        }
        Some(condition) => *condition = fresh,
        None => conditions.push(fresh),
    }
    definition.set("status.conditions", conditions);
}
