//! PodSecurity: how much of the node a namespace's pods may reach, as its labels say.

mod baseline;
mod checks;
mod policy;
mod restricted;
mod subject;

use std::collections::BTreeMap;

use super::{Attributes, Operation, Plugin};
use crate::api::audit;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::object::{ObjectRef, Status};

use policy::{Level, Policy};
use subject::Subject;

/// Subresources of pods that change nothing of what the checks look at.
const IGNORED: &[&str] = &["attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"];
/// Where the template of each kind of workload is.
const TEMPLATES: &[(&str, &str)] = &[
    ("cronjobs.batch", "spec.jobTemplate.spec.template"),
    ("daemonsets.apps", "spec.template"),
    ("deployments.apps", "spec.template"),
    ("jobs.batch", "spec.template"),
    ("podtemplates", "template"),
    ("replicasets.apps", "spec.template"),
    ("replicationcontrollers", "spec.template"),
    ("statefulsets.apps", "spec.template"),
];
/// What is looked at at all.
pub const JUDGED: &[&str] = &{
    const BESIDE: [&str; 2] = ["pods", "namespaces"];
    let mut all = [""; BESIDE.len() + TEMPLATES.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < BESIDE.len() { BESIDE[at] } else { TEMPLATES[at - BESIDE.len()].0 };
        at += 1;
    }
    all
};
/// At most this many of a namespace's pods are looked at when its policy changes.
const PODS_MAX: usize = 3_000;

pub struct PodSecurity;

impl Plugin for PodSecurity {
    fn validate(&self, on: &Attributes<'_>, object: Option<&Tree>, warnings: &mut Vec<String>) -> Result<(), Status> {
        let Some(object) = object.filter(|_| matches!(on.operation, Operation::Create | Operation::Update)) else {
            return Ok(());
        };
        let template = TEMPLATES.iter().find(|(resource, _)| *resource == on.resource.name.as_str());
        match (on.resource.name.as_str(), template) {
            ("pods", _) if !IGNORED.contains(&on.subresource) => check_pod(on, object, warnings),
            ("namespaces", _) if on.subresource.is_empty() => check_namespace(on, object, warnings),
            (_, Some((_, path))) if on.subresource.is_empty() => {
                if let Some(template) = object.at(path) {
                    let policy = policy_of(on);
                    note(&policy, template);
                    warn(&policy, template, warnings);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn policy_of(on: &Attributes<'_>) -> Policy {
    on.get("namespaces", "", on.namespace).map(|namespace| Policy::of(&namespace.meta().labels).0).unwrap_or_default()
}

fn check_pod(on: &Attributes<'_>, pod: &Tree, warnings: &mut Vec<String>) -> Result<(), Status> {
    let policy = policy_of(on);
    if on.old.is_some_and(|old| !is_significant(pod, old)) {
        return Ok(());
    }
    audit::annotate("pod-security.kubernetes.io/enforce-policy", || policy.enforce.to_string());
    note(&policy, pod);
    if let Some(told) = checks::violations(&policy.enforce, &Subject::of(pod)) {
        return Err(on.forbidden(pod, format!("violates PodSecurity \"{}\": {}", policy.enforce, told.details)));
    }
    warn(&policy, pod, warnings);
    Ok(())
}

/// What the audit log says of a pod that is let in all the same.
fn note(policy: &Policy, pod: &Tree) {
    if policy.audit.level == Level::Privileged {
        return;
    }
    if let Some(told) = checks::violations(&policy.audit, &Subject::of(pod)) {
        audit::annotate("pod-security.kubernetes.io/audit-violations", || {
            format!("would violate PodSecurity \"{}\": {}", policy.audit, told.details)
        });
    }
}

fn warn(policy: &Policy, pod: &Tree, warnings: &mut Vec<String>) {
    if let Some(told) = checks::violations(&policy.warn, &Subject::of(pod)) {
        warnings.push(format!("would violate PodSecurity \"{}\": {}", policy.warn, told.details));
    }
}

/// Whether an update brings in containers or images that were not judged before.
fn is_significant(new: &Tree, old: &Tree) -> bool {
    let images = |pod: &Tree, list: &str| -> Vec<String> {
        pod.items(list).iter().map(|container| container.text("image").to_owned()).collect()
    };
    let differs = |list: &str| images(new, list) != images(old, list);
    let debug = "spec.ephemeralContainers";
    let before = old.items(debug);
    let is_known = |container: &Tree| {
        before.iter().any(|one| ["name", "image"].iter().all(|field| one.text(field) == container.text(field)))
    };
    differs("spec.containers") || differs("spec.initContainers") || !new.items(debug).iter().all(is_known)
}

fn check_namespace(on: &Attributes<'_>, namespace: &Tree, warnings: &mut Vec<String>) -> Result<(), Status> {
    let policy = |tree: &Tree| {
        let labels = tree.map("metadata.labels").into_iter().flatten();
        Policy::of(&labels.filter_map(|(key, value)| Some((key.to_string(), value.as_str()?.to_owned()))).collect())
    };
    let (new, wrong) = policy(namespace);
    let (old, wrong_before) = on.old.map(policy).unwrap_or_default();
    if !wrong.is_empty() && wrong != wrong_before {
        let mut errors = FieldErrors::default();
        for (label, value, why) in wrong {
            errors.invalid(format!("metadata.labels[{label}]"), value, why);
        }
        return Err(errors.into_status(&on.kind(), namespace.text("metadata.name")));
    }
    let relaxed = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
    if on.operation == Operation::Update
        && new.enforce != old.enforce
        && new.enforce.level != Level::Privileged
        && !relaxed
    {
        let name = namespace.text("metadata.name");
        warnings.extend(violations_of_pods(&on.list("pods", name), name, &new));
    }
    Ok(())
}

/// Which of the pods that are there would no longer be let in; those alike are told once.
fn violations_of_pods(pods: &[ObjectRef], namespace: &str, policy: &Policy) -> Vec<String> {
    let mut told: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for pod in pods.iter().take(PODS_MAX) {
        if let Some(found) = checks::violations(&policy.enforce, &Subject::of(&pod.tree())) {
            let entry = told.entry(found.reasons).or_insert_with(|| (pod.key().name().to_owned(), 0));
            entry.1 += 1;
        }
    }
    let mut lines: Vec<String> = told
        .into_iter()
        .map(|(reasons, (pod, count))| match count {
            1 => format!("{pod}: {reasons}"),
            2 => format!("{pod} (and 1 other pod): {reasons}"),
            more => format!("{pod} (and {} other pods): {reasons}", more - 1),
        })
        .collect();
    lines.sort();
    if !lines.is_empty() {
        let enforce = &policy.enforce;
        let head =
            format!("existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{enforce}\"");
        lines.insert(0, head);
    }
    if pods.len() > PODS_MAX {
        let all = pods.len();
        let head =
            format!("new PodSecurity enforce level only checked against the first {PODS_MAX} of {all} existing pods");
        lines.insert(0, head);
    }
    lines
}
