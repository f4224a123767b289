//! HorizontalPodAutoscalers of `autoscaling/v1`: a single CPU target, everything else in annotations.

use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::at;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// How much CPU pods use at most where nobody says so. The first version has no other way to say it than in the
/// conversion.
pub const USE_PERCENT: i64 = 80;

/// A target for the use of CPU, in percent of what is requested.
pub fn cpu(percent: i64) -> Tree {
    json!({
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}},
    })
}

fn is_cpu(metric: &Tree) -> bool {
    metric.text("type") == "Resource"
        && metric.text("resource.name") == "cpu"
        && metric.has("resource.target.averageUtilization")
}

pub fn to_v1(mut tree: Tree) -> Tree {
    let metrics = tree.items("spec.metrics").to_vec();
    let mut notes: Vec<(&str, Tree)> = Vec::new();
    tree.unset("spec.metrics");
    if let Some(target) = metrics.iter().find(|metric| is_cpu(metric)) {
        tree.set("spec.targetCPUUtilizationPercentage", at(target, "resource.target.averageUtilization").clone());
    }
    let others: Vec<Tree> = metrics.iter().filter(|metric| !is_cpu(metric)).map(metric_to_v1).collect();
    if !others.is_empty() {
        notes.push((METRICS, others.into()));
    }
    let current = tree.unset("status.currentMetrics").unwrap_or_default();
    if let Some(list) = current.as_array().filter(|list| !list.is_empty()) {
        let cpu = list.iter().find(|metric| metric.text("resource.name") == "cpu");
        if let Some(percent) = cpu.and_then(|metric| metric.int("resource.current.averageUtilization")) {
            tree.set("status.currentCPUUtilizationPercentage", percent);
        }
        notes.push((CURRENT, list.iter().map(status_to_v1).collect()));
    }
    if let Some(behavior) = tree.unset("spec.behavior").filter(Tree::is_object) {
        notes.push((BEHAVIOR, behavior));
    }
    if let Some(conditions) =
        tree.unset("status.conditions").filter(|list| list.as_array().is_some_and(|l| !l.is_empty()))
    {
        notes.push((CONDITIONS, conditions));
    }
    for (key, value) in notes {
        tree.set_default("metadata.annotations", json!({}));
        if let Some(map) = tree.at_mut("metadata.annotations").and_then(Tree::as_object_mut) {
            map.insert(key.into(), note_text(key, &value).into());
        }
    }
    tree
}

pub fn from_v1(mut tree: Tree) -> Tree {
    let mut note = |key: &str| -> Option<Tree> {
        let text = tree.at_mut("metadata.annotations")?.as_object_mut()?.remove(key)?;
        serde_json::from_str(text.as_str()?).ok()
    };
    let (metrics, current, behavior, conditions) = (note(METRICS), note(CURRENT), note(BEHAVIOR), note(CONDITIONS));
    if tree.map("metadata.annotations").is_some_and(|map| map.is_empty()) {
        tree.unset("metadata.annotations");
    }
    let mut list: Vec<Tree> = metrics.iter().filter_map(Tree::as_array).flatten().map(metric_from_v1).collect();
    if let Some(percent) = tree.unset("spec.targetCPUUtilizationPercentage").as_ref().and_then(Tree::as_i64) {
        list.push(cpu(percent));
    }
    if list.is_empty() {
        list.push(cpu(USE_PERCENT));
    }
    tree.set("spec.metrics", list);
    if let Some(behavior) = behavior.filter(Tree::is_object) {
        tree.set("spec.behavior", lower(behavior));
    }
    let percent = tree.unset("status.currentCPUUtilizationPercentage");
    match current.as_ref().and_then(Tree::as_array) {
        Some(list) => drop(tree.set("status.currentMetrics", list.iter().map(status_from_v1).collect::<Vec<_>>())),
        None => {
            if let Some(percent) = percent.as_ref().and_then(Tree::as_i64) {
                let metric = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}});
                tree.set("status.currentMetrics", json!([metric]));
            }
        }
    }
    if let Some(conditions) = conditions.filter(Tree::is_array) {
        tree.set("status.conditions", conditions);
    }
    tree
}

/// Where each kind of metric keeps a target, in v2 (under `target`) and in v1.
const TARGETS: &[(&str, &[(&str, &str)])] = &[
    ("resource", &[("averageUtilization", "targetAverageUtilization"), ("averageValue", "targetAverageValue")]),
    (
        "containerResource",
        &[("averageUtilization", "targetAverageUtilization"), ("averageValue", "targetAverageValue")],
    ),
    ("pods", &[("averageValue", "targetAverageValue")]),
    ("object", &[("value", "targetValue"), ("averageValue", "averageValue")]),
    ("external", &[("value", "targetValue"), ("averageValue", "targetAverageValue")]),
];

/// Where a metric's name and selector stand in v2 and in v1.
fn moved(kind: &str) -> [(&'static str, &'static str); 3] {
    let selector = if kind == "external" { "metricSelector" } else { "selector" };
    [("metric.name", "metricName"), ("metric.selector", selector), ("describedObject", "target")]
}

fn metric_to_v1(metric: &Tree) -> Tree {
    let mut out = metric.clone();
    for (kind, fields) in TARGETS {
        let Some(source) = out.get_mut(*kind) else { continue };
        let target = source.unset("target").unwrap_or_default();
        for (from, to) in moved(kind) {
            if let Some(value) = source.unset(from) {
                source.set(to, value);
            }
        }
        source.unset("metric");
        for (v2, v1) in *fields {
            if let Some(value) = target.get(*v2) {
                source.set(v1, value.clone());
            }
        }
        if *kind == "object" && !source.has("targetValue") {
            source.set("targetValue", "0");
        }
    }
    out
}

fn metric_from_v1(metric: &Tree) -> Tree {
    let mut out = metric.clone();
    for (kind, fields) in TARGETS {
        let Some(source) = out.get_mut(*kind) else { continue };
        let mut target = json!({});
        for (v2, v1) in *fields {
            if let Some(value) = source.unset(v1).filter(|value| !value.is_null() && *value != "0") {
                let name = match *v2 {
                    "averageUtilization" => "Utilization",
                    "averageValue" => "AverageValue",
                    _ => "Value",
                };
                target.set("type", name);
                target.set(v2, value);
            }
        }
        for (to, from) in moved(kind) {
            if let Some(value) = source.unset(from) {
                source.set(to, value);
            }
        }
        source.set("target", target);
    }
    out
}

/// Where each kind of metric keeps a current value, in v2 (under `current`) and in v1.
const CURRENTS: &[(&str, &[(&str, &str)])] = &[
    ("resource", &[("averageUtilization", "currentAverageUtilization"), ("averageValue", "currentAverageValue")]),
    (
        "containerResource",
        &[("averageUtilization", "currentAverageUtilization"), ("averageValue", "currentAverageValue")],
    ),
    ("pods", &[("averageValue", "currentAverageValue")]),
    ("object", &[("value", "currentValue"), ("averageValue", "averageValue")]),
    ("external", &[("value", "currentValue"), ("averageValue", "currentAverageValue")]),
];

fn status_to_v1(metric: &Tree) -> Tree {
    let mut out = metric.clone();
    for (kind, fields) in CURRENTS {
        let Some(source) = out.get_mut(*kind) else { continue };
        let current = source.unset("current").unwrap_or_default();
        for (from, to) in moved(kind) {
            if let Some(value) = source.unset(from) {
                source.set(to, value);
            }
        }
        source.unset("metric");
        for (v2, v1) in *fields {
            if let Some(value) = current.get(*v2) {
                source.set(v1, value.clone());
            }
        }
    }
    out
}

fn status_from_v1(metric: &Tree) -> Tree {
    let mut out = metric.clone();
    for (kind, fields) in CURRENTS {
        let Some(source) = out.get_mut(*kind) else { continue };
        let mut current = json!({});
        for (v2, v1) in *fields {
            if let Some(value) = source.unset(v1) {
                current.set(v2, value);
            }
        }
        for (to, from) in moved(kind) {
            if let Some(value) = source.unset(from) {
                source.set(to, value);
            }
        }
        source.set("current", current);
    }
    out
}

/// A note's text, with the keys in the order in which upstream writes them.
fn note_text(key: &str, value: &Tree) -> String {
    match key {
        BEHAVIOR => behavior_text(value),
        METRICS => list_text(value.as_array().into_iter().flatten().map(metric_text)),
        _ => value.to_string(),
    }
}

fn list_text(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn metric_text(metric: &Tree) -> String {
    let rest = metric.as_object().into_iter().flatten().filter(|(key, _)| *key != "type");
    let rest: String = rest.map(|(key, value)| format!(",{}:{value}", Tree::from(key.as_str()))).collect();
    format!("{{\"type\":{}{rest}}}", Tree::from(metric.text("type")))
}

/// The behavior is kept as Go's inner form: with capital first letters, and everything that is not set.
fn behavior_text(behavior: &Tree) -> String {
    let policy = |policy: &Tree| {
        let [kind, value, period] = ["type", "value", "periodSeconds"].map(|field| at(policy, field));
        format!("{{\"Type\":{kind},\"Value\":{value},\"PeriodSeconds\":{period}}}")
    };
    let rules = |direction: &str| {
        let rules = at(behavior, direction);
        if !rules.is_object() {
            return "null".to_owned();
        }
        let policies = match rules.get("policies").and_then(Tree::as_array) {
            Some(policies) => list_text(policies.iter().map(policy)),
            None => "null".to_owned(),
        };
        let [window, select, tolerance] =
            ["stabilizationWindowSeconds", "selectPolicy", "tolerance"].map(|field| at(rules, field));
        format!(
            "{{\"StabilizationWindowSeconds\":{window},\"SelectPolicy\":{select},\"Policies\":{policies},\
             \"Tolerance\":{tolerance}}}"
        )
    };
    format!("{{\"ScaleUp\":{},\"ScaleDown\":{}}}", rules("scaleUp"), rules("scaleDown"))
}

fn lower(tree: Tree) -> Tree {
    renamed(tree, |key| key[..1].to_lowercase() + &key[1..])
}

fn renamed(tree: Tree, rename: fn(&str) -> String) -> Tree {
    match tree {
        Tree::Object(map) => map
            .into_iter()
            .filter(|(key, value)| !key.is_empty() && !value.is_null())
            .map(|(key, value)| (rename(&key), renamed(value, rename)))
            .collect(),
        Tree::Array(items) => items.into_iter().map(|item| renamed(item, rename)).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_keeps_the_cpu_target_and_notes_the_rest() {
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "5"}}});
        let v2 = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "metrics": [pods, cpu(70)]}});
        let v1 = to_v1(v2.clone());
        assert_eq!(v1.int("spec.targetCPUUtilizationPercentage"), Some(70));
        assert!(!v1.has("spec.metrics") && v1.has("metadata.annotations"));
        assert_eq!(from_v1(v1), v2);
    }
    #[test]
    fn a_first_version_that_names_no_metric_means_the_usual_use_of_cpu() {
        let v2 = from_v1(json!({"spec": {"maxReplicas": 3}}));
        assert_eq!(v2.items("spec.metrics"), [cpu(USE_PERCENT)]);
    }
}
