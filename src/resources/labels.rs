//! Labels, annotations and selectors, wherever they occur.

use std::collections::BTreeMap;

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};

use super::check::At;
use super::names;

/// All of an object's annotations together, keys and values.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

pub fn check_labels(labels: &At, errors: &mut FieldErrors) {
    for (key, value) in labels.entries() {
        for complaint in names::is_qualified_name(key) {
            errors.invalid(&*labels.path, key, complaint);
        }
        for complaint in names::is_label_value(value.str()) {
            errors.invalid(&*labels.path, value.str(), complaint);
        }
    }
}

pub fn check_annotations(annotations: &At, errors: &mut FieldErrors) {
    let mut bytes = 0;
    for (key, value) in annotations.entries() {
        for complaint in names::is_qualified_name(&key.to_lowercase()) {
            errors.invalid(&*annotations.path, key, complaint);
        }
        bytes += key.len() + value.str().len();
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.too_long(&*annotations.path, ANNOTATIONS_BYTES_MAX);
    }
}

/// A `LabelSelector`; nothing there is fine.
pub fn check_selector(selector: &At, errors: &mut FieldErrors) {
    check_labels(&selector.child("matchLabels"), errors);
    for requirement in selector.child("matchExpressions").items() {
        let values = requirement.child("values");
        match requirement.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                values.required(errors, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                values.forbidden(errors, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => (),
            _ => requirement.child("operator").invalid_text(errors, "not a valid selector operator"),
        }
        requirement.child("key").format(errors, names::is_qualified_name(requirement.text("key")));
        for value in values.items() {
            value.format(errors, names::is_label_value(value.str()));
        }
    }
}

/// Whether a `LabelSelector` has no requirement at all.
pub fn is_empty_selector(selector: &Tree) -> bool {
    selector.map("matchLabels").is_none_or(|labels| labels.is_empty()) && selector.items("matchExpressions").is_empty()
}

/// Whether a `LabelSelector` picks an object with these labels. One that cannot be read picks nothing.
pub fn selects(selector: &Tree, labels: &Tree) -> bool {
    let label = |key: &str| labels.get(key).and_then(Tree::as_str);
    let exact = selector.map("matchLabels").into_iter().flatten();
    let expression = |requirement: &Tree| {
        let value = label(requirement.text("key"));
        let listed = || requirement.items("values").iter().any(|listed| listed.as_str() == value);
        match requirement.text("operator") {
            "In" => value.is_some() && listed(),
            "NotIn" => value.is_none() || !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    };
    exact.into_iter().all(|(key, wanted)| label(key) == wanted.as_str())
        && selector.items("matchExpressions").iter().all(expression)
}

/// A condition in the common form (`metav1.Condition`), each type once.
pub fn check_conditions(conditions: &At, errors: &mut FieldErrors) {
    let mut seen = BTreeMap::new();
    for condition in conditions.items() {
        let kind = condition.child("type");
        if seen.insert(kind.str(), ()).is_some() {
            kind.duplicate(errors);
        }
        kind.format(errors, names::is_qualified_name(kind.str()));
        let status = condition.child("status");
        if !["True", "False", "Unknown"].contains(&status.str()) {
            status.not_supported(errors, &["False", "True", "Unknown"]);
        }
        condition.child("observedGeneration").nonnegative(errors);
        if condition.child("lastTransitionTime").is_empty() {
            condition.child("lastTransitionTime").required(errors, "");
        }
        let reason = condition.child("reason");
        if reason.is_empty() {
            reason.required(errors, "");
        } else {
            reason.format(errors, names::is_condition_reason(reason.str()));
            if reason.len() > 1024 {
                errors.too_long(&*reason.path, 1024);
            }
        }
        if condition.child("message").len() > 32 << 10 {
            errors.too_long(condition.path_to("message"), 32 << 10);
        }
    }
}
