//! What makes a HorizontalPodAutoscaler valid.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at};
use crate::resources::quantities::{self, amount};
use crate::resources::{labels, names};

/// Both directions get rules; what is not said is upstream's usual.
pub fn default_behavior(hpa: &mut Tree) {
    let up = json!([
        {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]);
    let down = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
    for (direction, policies) in [("scaleUp", up), ("scaleDown", down)] {
        let path = |field: &str| format!("spec.behavior.{direction}.{field}");
        if direction == "scaleUp" {
            hpa.set_default(&path("stabilizationWindowSeconds"), 0);
        }
        hpa.set_default(&path("selectPolicy"), "Max");
        hpa.set_default(&path("policies"), policies);
    }
}

pub fn check(spec: &At, errors: &mut FieldErrors) {
    let (min, max) = (spec.child("minReplicas"), spec.child("maxReplicas"));
    let most = max.int().unwrap_or(0);
    if min.int().is_some_and(|min| min < 1) {
        min.invalid(errors, "must be greater than or equal to 1");
    }
    if most == 0 {
        max.required(errors, "must be set and greater than 0");
    } else if most < 0 {
        max.invalid(errors, "must be greater than or equal to 1");
    }
    if min.int().is_some_and(|min| most < min) {
        errors.invalid(&*max.path, most, "must be greater than or equal to `minReplicas`");
    }
    check_reference(&spec.child("scaleTargetRef"), true, errors);
    let metrics = spec.child("metrics");
    metrics.items().for_each(|metric| check_metric(&metric, errors));
    let from_outside = metrics.items().any(|metric| matches!(metric.text("type"), "Object" | "External"));
    if min.int() == Some(0) && !from_outside {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        metrics.forbidden(errors, detail);
    }
    for direction in ["scaleUp", "scaleDown"] {
        check_rules(&spec.child("behavior").child(direction), errors);
    }
}

fn check_reference(reference: &At, needs_group: bool, errors: &mut FieldErrors) {
    for field in ["kind", "name"] {
        let place = reference.child(field);
        if place.is_empty() {
            place.required(errors, "");
        } else {
            place.format(errors, names::path_segment(place.str(), false));
        }
    }
    let version = reference.child("apiVersion");
    if version.str().matches('/').count() > 1 {
        version.invalid_text(errors, format!("unexpected GroupVersion string: {}", version.str()));
    } else if needs_group && !version.str().contains('/') && version.str() != "v1" {
        version.invalid_text(errors, "apiVersion must specify API group");
    }
}

const KINDS: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const KIND_NAMES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

fn check_metric(metric: &At, errors: &mut FieldErrors) {
    let kind = metric.child("type");
    if kind.is_empty() {
        kind.required(errors, "must specify a metric source type");
    }
    let known = KIND_NAMES.contains(&kind.str());
    if !known {
        kind.not_supported(errors, KIND_NAMES);
    }
    let present: Vec<&str> = KINDS.iter().map(|(_, field)| *field).filter(|field| metric.has(field)).collect();
    if let Some(first) = present.first() {
        check_source(first, &metric.child(first), errors);
    }
    let expected = KINDS.iter().find(|(name, _)| *name == kind.str()).map(|(_, field)| *field);
    match expected {
        Some(field) if !metric.has(field) => {
            metric.child(field).required(errors, "must populate information for the given metric source");
        }
        Some(_) => (),
        None => kind.not_supported(errors, KIND_NAMES),
    }
    if present.len() != 1 {
        for field in present.into_iter().filter(|field| Some(*field) != expected) {
            metric.child(field).forbidden(errors, "must populate the given metric source only");
        }
    }
}

fn check_source(kind: &str, source: &At, errors: &mut FieldErrors) {
    let target = source.child("target");
    let average = target.child("averageValue");
    match kind {
        "object" => {
            check_reference(&source.child("describedObject"), false, errors);
            check_identifier(&source.child("metric"), errors);
            check_target(&target, errors);
            if !target.has("value") && !average.exists() {
                average.required(errors, "must set either a target value or averageValue");
            }
        }
        "external" => {
            check_identifier(&source.child("metric"), errors);
            check_target(&target, errors);
            match (target.has("value"), average.exists()) {
                (false, false) => {
                    average.required(errors, "must set either a target value for metric or a per-pod target");
                }
                (true, true) => target
                    .child("value")
                    .forbidden(errors, "may not set both a target value for metric and a per-pod target"),
                _ => (),
            }
        }
        "pods" => {
            check_identifier(&source.child("metric"), errors);
            check_target(&target, errors);
            if !average.exists() {
                average.required(errors, "must specify a positive target averageValue");
            }
        }
        _ => check_resource(kind, source, errors),
    }
}

fn check_resource(kind: &str, source: &At, errors: &mut FieldErrors) {
    const BOTH: &str = "may not set both a target raw value and a target utilization";
    let (name, target) = (source.child("name"), source.child("target"));
    if name.is_empty() {
        name.required(errors, "must specify a resource name");
    } else if kind == "containerResource" {
        quantities::check_container_name(name.str(), &name.path, errors);
    }
    if kind == "containerResource" {
        let container = source.child("container");
        if container.is_empty() {
            container.required(errors, "must specify a container");
        } else {
            container.format(errors, names::is_dns1123_label(container.str()));
        }
    }
    check_target(&target, errors);
    let (utilization, average) = (target.child("averageUtilization"), target.child("averageValue"));
    match (utilization.exists(), average.exists()) {
        (false, false) => {
            utilization.required(errors, "must set either a target raw value or a target utilization");
        }
        (true, true) => average.forbidden(errors, BOTH),
        _ => (),
    }
}

fn check_target(target: &At, errors: &mut FieldErrors) {
    let kind = target.child("type");
    if kind.is_empty() {
        kind.required(errors, "must specify a metric target type");
    }
    if !matches!(kind.str(), "Utilization" | "Value" | "AverageValue") {
        kind.invalid_text(errors, "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        let place = target.child(field);
        let quantity = amount(place.value);
        if place.exists() && (quantity.is_negative() || quantity.is_zero()) {
            place.invalid(errors, "must be positive");
        }
    }
    let utilization = target.child("averageUtilization");
    if utilization.int().is_some_and(|percent| percent < 1) {
        utilization.invalid(errors, "must be greater than 0");
    }
}

fn check_identifier(metric: &At, errors: &mut FieldErrors) {
    let name = metric.child("name");
    if name.is_empty() {
        name.required(errors, "must specify a metric name");
    } else {
        name.format(errors, names::path_segment(name.str(), false));
    }
    labels::check_selector(&At::new(at(metric.value, "selector"), metric.path_to("selector")), errors);
}

fn check_rules(rules: &At, errors: &mut FieldErrors) {
    if !rules.exists() {
        return;
    }
    let (window, select, policies) =
        (rules.child("stabilizationWindowSeconds"), rules.child("selectPolicy"), rules.child("policies"));
    if window.int().is_some_and(|seconds| seconds < 0) {
        window.invalid(errors, "must be greater than or equal to zero");
    }
    if window.int().is_some_and(|seconds| seconds > 3600) {
        window.invalid(errors, "must be less than or equal to 3600");
    }
    if select.exists() && !matches!(select.str(), "Disabled" | "Max" | "Min") {
        select.not_supported(errors, &["Disabled", "Max", "Min"]);
    }
    if policies.is_empty() {
        policies.required(errors, "must specify at least one Policy");
    }
    for policy in policies.items() {
        if !matches!(policy.text("type"), "Pods" | "Percent") {
            policy.child("type").not_supported(errors, &["Percent", "Pods"]);
        }
        for field in ["value", "periodSeconds"] {
            let number = policy.value.int(field).unwrap_or(0);
            if number <= 0 {
                errors.invalid(policy.path_to(field), number, "must be greater than zero");
            }
        }
        let period = policy.child("periodSeconds");
        if period.int().is_some_and(|seconds| seconds > 1800) {
            period.invalid(errors, "must be less than or equal to 1800");
        }
    }
    let tolerance = rules.child("tolerance");
    if tolerance.exists() {
        quantities::check_not_negative(&tolerance, errors);
    }
}
