//! What webhooks and policies have in common: which requests they look at.

use std::collections::BTreeSet;

use super::expressions::{BOOL, Expressions};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::At;
use crate::resources::defaults::each;
use crate::resources::{labels, names};

pub const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
pub const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MUTATING_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];

/// A rule that names no scope means all.
pub fn default_rules(tree: &mut Tree, path: &str) {
    each(tree, path, |rule| rule.set_default("scope", "*"));
}

/// Defaults of a webhook, or of a policy's `matchConstraints`.
pub fn default_match(tree: &mut Tree) {
    tree.set_default("matchPolicy", "Equivalent");
    tree.set_default("namespaceSelector", json!({}));
    tree.set_default("objectSelector", json!({}));
}

pub fn default_match_resources(tree: &mut Tree, path: &str) {
    if let Some(found) = tree.at_mut(path) {
        default_match(found);
        default_rules(found, "resourceRules");
        default_rules(found, "excludeResourceRules");
    }
}

/// What may be left out, but has to be one of these.
pub fn check_choice(place: &At, errors: &mut FieldErrors, supported: &[&str]) {
    if place.exists() && !supported.contains(&place.str()) {
        place.not_supported(errors, supported);
    }
}

pub fn check_rule(rule: &At, errors: &mut FieldErrors) {
    let operations = rule.child("operations");
    if operations.is_empty() {
        operations.required(errors, "");
    }
    alone(&operations, errors, "operations");
    for operation in operations.items() {
        if !OPERATIONS.contains(&operation.str()) {
            operation.not_supported(errors, &OPERATIONS);
        }
    }
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = rule.child(field);
        if list.is_empty() {
            list.required(errors, "");
        }
        alone(&list, errors, what);
        for item in list.items().filter(|item| field == "apiVersions" && item.is_empty()) {
            item.required(errors, "");
        }
    }
    check_resources(&rule.child("resources"), errors);
    check_choice(&rule.child("scope"), errors, &SCOPES);
}

fn alone(list: &At, errors: &mut FieldErrors, what: &str) {
    if list.len() > 1 && list.items().any(|item| item.str() == "*") {
        list.invalid(errors, format!("if '*' is present, must not specify other {what}"));
    }
}

fn check_resources(resources: &At, errors: &mut FieldErrors) {
    if resources.is_empty() {
        resources.required(errors, "");
    }
    let (mut all_of, mut in_all) = (BTreeSet::new(), BTreeSet::new());
    let (mut whole, mut single, mut plain) = (false, false, false);
    for item in resources.items() {
        let text = item.str();
        if text.is_empty() {
            item.required(errors, "");
            continue;
        }
        whole |= text == "*/*";
        single |= text == "*";
        let Some((resource, subresource)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        if all_of.contains(resource) {
            item.invalid(errors, format!("if '{resource}/*' is present, must not specify {text}"));
        }
        if in_all.contains(subresource) {
            item.invalid(errors, format!("if '*/{subresource}' is present, must not specify {text}"));
        }
        if subresource == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            in_all.insert(subresource);
        }
    }
    if resources.len() > 1 && whole {
        resources.invalid(errors, "if '*/*' is present, must not specify other resources");
    }
    if single && plain {
        resources.invalid(errors, "if '*' is present, must not specify other resources without subresources");
    }
}

pub fn check_match_resources(place: &At, errors: &mut FieldErrors) {
    if !place.exists() {
        return;
    }
    check_choice(&place.child("matchPolicy"), errors, &MATCH_POLICIES);
    for field in ["namespaceSelector", "objectSelector"] {
        labels::check_selector(&place.child(field), errors);
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for rule in place.child(field).items() {
            let mut seen = BTreeSet::new();
            for name in rule.child("resourceNames").items() {
                name.format(errors, names::path_segment(name.str(), false));
                if !seen.insert(name.str()) {
                    name.duplicate(errors);
                }
            }
            check_rule(&rule, errors);
        }
    }
}

/// Policies that change objects have nothing to do when one is deleted.
pub fn check_mutating_operations(place: &At, errors: &mut FieldErrors) {
    for rule in place.child("resourceRules").items() {
        for operation in rule.child("operations").items().filter(|o| !MUTATING_OPERATIONS.contains(&o.str())) {
            errors.not_supported(place.path_to("resourceRules.operations"), operation.str(), &MUTATING_OPERATIONS);
        }
    }
}

pub fn check_match_conditions(conditions: &At, expressions: &Expressions, errors: &mut FieldErrors) {
    if conditions.len() > 64 {
        errors.too_many(&*conditions.path, conditions.len(), 64);
    }
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        if condition.text("expression").trim().is_empty() {
            errors.required(condition.path_to("expression"), "");
        } else {
            expressions.check_trimmed(&condition.child("expression"), BOOL, errors);
        }
        let name = condition.child("name");
        if name.is_empty() {
            name.required(errors, "");
            continue;
        }
        name.format(errors, names::is_qualified_name(name.str()));
        if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
    }
}
