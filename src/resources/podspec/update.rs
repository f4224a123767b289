//! What may change in a pod that exists: images, a shorter deadline, more tolerations, fewer gates.

use crate::object::field::FieldErrors;
use crate::object::tree::{Name, Tree, TreePath};
use crate::resources::check::{At, at};
use crate::resources::inner;
use crate::resources::names;

use super::affinity::check_added_tolerations;
use super::containers::check_image_spaces;

const MAX: i64 = i32::MAX as i64;

const REFUSED: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
`spec.tolerations` (only additions to existing tolerations),\
`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Compares two specs of one pod.
pub fn check(new: &At, old: &Tree, errors: &mut FieldErrors) {
    for list in ["containers", "initContainers"] {
        let containers = new.child(list);
        if containers.len() != old.items(list).len() {
            return containers.forbidden(errors, "pod updates may not add or remove containers");
        }
        for container in containers.items() {
            if container.text("image").is_empty() {
                container.child("image").required(errors, "");
            }
            check_image_spaces(&container, errors);
        }
    }
    if !check_deadline(&new.child("activeDeadlineSeconds"), old.int("activeDeadlineSeconds"), errors) {
        return;
    }
    check_added_tolerations(&new.child("tolerations"), old.items("tolerations"), errors);
    check_removed_gates(&new.child("schedulingGates"), old.items("schedulingGates"), errors);
    if new.value != old {
        let mut rest = without_mutable(new, old);
        if !old.items("schedulingGates").is_empty() {
            check_gated(new, old, &mut rest, errors);
        }
        if &rest != old {
            let changed = inner::pod_difference(old, &rest);
            new.forbidden(errors, format!("{REFUSED}\n{changed}"));
        }
    }
}

/// Says whether further checks make sense.
fn check_deadline(new: &At, old: Option<i64>, errors: &mut FieldErrors) -> bool {
    match (new.int(), old) {
        (Some(seconds), _) if !(0..=MAX).contains(&seconds) => {
            new.number_format(errors, names::in_range(seconds, 0, MAX));
            false
        }
        (Some(seconds), Some(old)) if old < seconds => {
            new.invalid(errors, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            new.invalid(errors, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn check_removed_gates(new: &At, old: &[Tree], errors: &mut FieldErrors) {
    for gate in new.items().filter(|gate| !old.iter().any(|old| old.get("name") == gate.value.get("name"))) {
        let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.text("name"));
        gate.child("name").forbidden(errors, detail);
    }
}

/// The new spec with everything that may change put back.
fn without_mutable(new: &At, old: &Tree) -> Tree {
    let mut rest = new.value.clone();
    for list in ["containers", "initContainers"] {
        for (place, container) in old.items(list).iter().enumerate() {
            if let Some(mine) = rest.get_mut(list).and_then(|containers| containers.get_mut(place)) {
                put_back(mine, container, "image");
            }
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        put_back(&mut rest, old, field);
    }
    let negative = old.int("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0);
    if negative && rest.int("terminationGracePeriodSeconds") == Some(1) {
        put_back(&mut rest, old, "terminationGracePeriodSeconds");
    }
    rest
}

pub fn put_back(new: &mut Tree, old: &Tree, field: &str) {
    match old.get(field) {
        Some(value) => {
            new.set(field, value.clone());
        }
        None => {
            new.unset(field);
        }
    }
}

/// A pod that waits for its gates may be bound closer to certain nodes.
fn check_gated(new: &At, old: &Tree, rest: &mut Tree, errors: &mut FieldErrors) {
    let selector = new.child("nodeSelector");
    let kept = |(key, value): (&Name, &Tree)| selector.value.get(key) == Some(value);
    if !old.map("nodeSelector").into_iter().flatten().all(kept) {
        selector.invalid(errors, "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
    }
    put_back(rest, old, "nodeSelector");
    const TERMS: &str = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let (terms, before) = (new.child(TERMS), old.items(TERMS));
    if !before.is_empty() && before.len() != terms.len() {
        terms.invalid(errors, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
    } else {
        for (term, before) in terms.items().zip(before) {
            if !only_adds(term.value, before) {
                term.invalid(errors, "only additions are allowed (no mutations or deletions)");
            }
        }
    }
    let affinity = at(old, "affinity.nodeAffinity").clone();
    match rest.at_mut("affinity").and_then(Tree::as_object_mut) {
        Some(map) if affinity.is_null() => {
            map.remove("nodeAffinity");
            if map.is_empty() && !old.has("affinity") {
                rest.unset("affinity");
            }
        }
        Some(map) => {
            map.insert("nodeAffinity".into(), affinity);
        }
        None => put_back(rest, old, "affinity"),
    }
}

fn only_adds(new: &Tree, old: &Tree) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    let was_empty = lists.iter().all(|list| old.items(list).is_empty());
    let is_empty = lists.iter().all(|list| new.items(list).is_empty());
    (!was_empty || is_empty) && lists.iter().all(|list| new.items(list).starts_with(old.items(list)))
}
