//! LimitRange: defaults and limits of resources for what a namespace holds.

use crate::object::field::FieldErrors;
use crate::object::quantity::Quantity;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::At;
use crate::resources::defaults::each;
use crate::resources::names;
use crate::resources::quantities::{amount, check_container_name, check_name, may_overcommit};
use crate::resources::{Column, ResourceDef, Rules, Version};
use std::collections::BTreeSet;

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["limits"],
    columns: &[Column::NAME, Column::CREATED_AT],
    rules: &LimitRange,
    ..ResourceDef::namespaced(
        "",
        "LimitRange",
        "limitranges",
        "limitrange",
        &[Version::on("v1", "io.k8s.api.core.v1.LimitRange")],
    )
};

pub struct LimitRange;

impl Rules for LimitRange {
    fn default(&self, new: &mut Tree) {
        each(new, "spec.limits", |limit| {
            if limit.text("type") == "Container" {
                // Each takes what it lacks from the next.
                for (to, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
                    let source = limit.map(from).cloned().unwrap_or_default();
                    limit.set_default(to, json!({}));
                    if let Some(target) = limit.get_mut(to).and_then(Tree::as_object_mut) {
                        for (name, value) in source {
                            target.entry(name).or_insert(value);
                        }
                    }
                }
                for list in ["default", "defaultRequest"] {
                    if limit.map(list).is_some_and(|map| map.is_empty()) {
                        limit.unset(list);
                    }
                }
            }
        });
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        let mut seen = BTreeSet::new();
        for limit in At::root(new).child("spec.limits").items() {
            let kind = limit.child("type");
            check_type(&kind, errors);
            if !seen.insert(kind.str()) {
                kind.duplicate(errors);
            }
            check_limit(&limit, errors);
        }
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

fn check_type(kind: &At, errors: &mut FieldErrors) {
    let complaints = names::is_qualified_name(kind.str());
    let standard = matches!(kind.str(), "Pod" | "Container" | "PersistentVolumeClaim");
    if complaints.is_empty() && !kind.str().contains('/') && !standard {
        kind.invalid_text(errors, "must be a standard limit type or fully qualified");
    }
    kind.format(errors, complaints);
}

fn check_limit(limit: &At, errors: &mut FieldErrors) {
    let of_pods = matches!(limit.text("type"), "Pod" | "Container");
    let mut keys = BTreeSet::new();
    for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let place = limit.child(list);
        if limit.text("type") == "Pod" && list.starts_with("default") {
            if !place.is_empty() {
                place.forbidden(errors, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        if list == "maxLimitRequestRatio" && limit.text("type") == "PersistentVolumeClaim" {
            let storage = |list: &str| limit.child(list).key("storage").exists();
            if !storage("min") && !storage("max") {
                let detail = "either minimum or maximum storage value is required, but neither was provided";
                limit.child("limits").required(errors, detail);
            }
        }
        for (name, value) in place.entries() {
            if of_pods {
                check_container_name(name, &value.path, errors);
            } else {
                check_name(name, &value.path, errors);
            }
            keys.insert(name);
        }
    }
    keys.into_iter().for_each(|name| check_amounts(limit, name, errors));
}

/// Minimum, default request, default and maximum have to come in this order.
fn check_amounts(limit: &At, name: &str, errors: &mut FieldErrors) {
    let place = |list: &str| limit.child(list).key(name);
    let above = |low: &str, high: &str| {
        let (low, high) = (place(low), place(high));
        (low.exists() && high.exists() && amount(low.value) > amount(high.value)).then_some((low, high))
    };
    let is_pod = limit.text("type") == "Pod";
    // Lists to compare, which of them is named, which value is shown, and what they are called.
    const ORDER: &[(&str, &str, &str, &str, &str)] = &[
        ("min", "max", "min", "min", "min value {} is greater than max value {}"),
        (
            "min",
            "defaultRequest",
            "defaultRequest",
            "defaultRequest",
            "min value {} is greater than default request value {}",
        ),
        (
            "defaultRequest",
            "max",
            "defaultRequest",
            "defaultRequest",
            "default request value {} is greater than max value {}",
        ),
        (
            "defaultRequest",
            "default",
            "defaultRequest",
            "defaultRequest",
            "default request value {} is greater than default limit value {}",
        ),
        ("min", "default", "default", "min", "min value {} is greater than default value {}"),
        ("default", "max", "default", "max", "default value {} is greater than max value {}"),
    ];
    for (low, high, named, shown, text) in ORDER {
        if is_pod && (low.starts_with("default") || high.starts_with("default")) {
            continue;
        }
        if let Some((low, high)) = above(low, high) {
            let detail = text.replacen("{}", low.str(), 1).replacen("{}", high.str(), 1);
            errors.invalid(place(named).path.to_string(), place(shown).str(), detail);
        }
    }
    let ratio = place("maxLimitRequestRatio");
    if ratio.exists() {
        check_ratio(&ratio, &place("min"), &place("max"), errors);
    }
    let (default, request) = (place("default"), place("defaultRequest"));
    if !may_overcommit(name) && default.exists() && request.exists() && amount(default.value) != amount(request.value) {
        let detail =
            format!("default value {} must equal to defaultRequest value {} in {name}", default.str(), request.str());
        request.invalid(errors, detail);
    }
}

fn check_ratio(ratio: &At, min: &At, max: &At, errors: &mut FieldErrors) {
    let value = amount(ratio.value);
    if value < Quantity::from_int(1) {
        ratio.invalid(errors, format!("ratio {} is less than 1", ratio.str()));
    }
    if min.exists() && max.exists() {
        let limit = amount(max.value).approximate() / amount(min.value).approximate();
        if value.approximate() > limit {
            ratio.invalid(errors, format!("ratio {} is greater than max/min = {limit:.6}", ratio.str()));
        }
    }
}
