//! The spec of a Job, also inside a CronJob.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at, immutable};
use crate::resources::defaults::{each, set_if_empty};
use crate::resources::labels::{self, selects};
use crate::resources::names;
use crate::resources::podspec::template;

use super::job_policies;

const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const NAME_LABEL: &str = "batch.kubernetes.io/job-name";
const OLD_UID_LABEL: &str = "controller-uid";
const OLD_NAME_LABEL: &str = "job-name";

/// Defaults of a job's spec in a template.
pub fn default(tree: &mut Tree, spec: &str) {
    template::default(tree, &format!("{spec}.template"));
    each(tree, &format!("{spec}.podFailurePolicy.rules"), |rule| {
        each(rule, "onPodConditions", |pattern| set_if_empty(pattern, "status", "True"));
    });
}

/// Defaults of a job that runs.
pub fn default_of_job(job: &mut Tree) {
    if !job.has("spec.completions") && !job.has("spec.parallelism") {
        job.set("spec.completions", 1);
    }
    job.set_default("spec.parallelism", 1);
    let limit = if job.has("spec.backoffLimitPerIndex") { i32::MAX } else { 6 };
    job.set_default("spec.backoffLimit", limit);
    job.set_default("spec.completionMode", "NonIndexed");
    job.set_default("spec.suspend", false);
    let replacement = if job.has("spec.podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    job.set_default("spec.podReplacementPolicy", replacement);
    job.set_default("spec.manualSelector", false);
}

/// Labels the job's pods, and selects them, by its uid.
pub fn select_own_pods(job: &mut Tree) {
    let (name, uid) = (job.text("metadata.name").to_owned(), job.text("metadata.uid").to_owned());
    const LABELS: &str = "spec.template.metadata.labels";
    // As long as nobody labels the job, it has the labels of its pods.
    let shared = has_labels(job) && at(job, "metadata.labels") == at(job, LABELS);
    let mut entry = |path: &str, key: &'static str, value: &str| {
        job.set_default(path, json!({}));
        if let Some(map) = job.at_mut(path).and_then(Tree::as_object_mut) {
            map.entry(key).or_insert_with(|| value.into());
        }
    };
    for (key, value) in [(OLD_NAME_LABEL, &name), (NAME_LABEL, &name), (OLD_UID_LABEL, &uid), (UID_LABEL, &uid)] {
        entry(LABELS, key, value);
    }
    entry("spec.selector.matchLabels", UID_LABEL, &uid);
    if shared {
        let labels = at(job, LABELS).clone();
        job.set("metadata.labels", labels);
    }
}

/// Gives a job without labels those of its pods.
pub fn share_labels(job: &mut Tree) {
    let labels = at(job, "spec.template.metadata.labels").clone();
    if labels.is_object() && !has_labels(job) {
        job.set("metadata.labels", labels);
    }
}

fn has_labels(job: &Tree) -> bool {
    job.map("metadata.labels").is_some_and(|labels| !labels.is_empty())
}

/// A selector that was not made by hand has to be the one that is made here.
pub fn check_generated_selector(job: &Tree, errors: &mut FieldErrors) {
    if job.flag("spec.manualSelector") == Some(true) || !job.has("spec.selector") {
        return;
    }
    let (name, uid) = (job.text("metadata.name"), job.text("metadata.uid"));
    if uid.is_empty() {
        errors.required("metadata.uid", "");
    }
    let labels = At::root(job).child("spec.template.metadata.labels");
    for (key, wanted) in [(OLD_UID_LABEL, uid), (OLD_NAME_LABEL, name), (UID_LABEL, uid), (NAME_LABEL, name)] {
        let label = labels.key(key);
        let detail = format!("must be '{wanted}'");
        if !label.exists() {
            label.required(errors, &detail);
        } else if label.str() != wanted {
            errors.invalid(&*label.path, labels.value.clone(), detail);
        }
    }
    let wanted = json!({UID_LABEL: uid, NAME_LABEL: name, OLD_UID_LABEL: uid, OLD_NAME_LABEL: name});
    let selector = At::root(job).child("spec.selector");
    if !selects(selector.value, &wanted) {
        selector.invalid(errors, "`selector` not auto-generated");
    }
}

pub fn check_with_selector(spec: &At, errors: &mut FieldErrors) {
    check(spec, errors);
    let selector = spec.child("selector");
    if selector.exists() {
        labels::check_selector(&selector, errors);
    } else {
        selector.required(errors, "");
    }
    template::check_selected(&spec.child("template"), &selector, errors);
}

pub fn check(spec: &At, errors: &mut FieldErrors) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ] {
        spec.child(field).nonnegative(errors);
    }
    let failed = spec.child("maxFailedIndexes");
    failed.nonnegative(errors);
    if failed.exists() && !spec.has("backoffLimitPerIndex") {
        spec.child("backoffLimitPerIndex").required(errors, "when maxFailedIndexes is specified");
    }
    check_managed_by(&spec.child("managedBy"), errors);
    check_mode(spec, errors);
    job_policies::check(spec, errors);
    let pods = spec.child("template");
    template::check(&pods, errors);
    let restart = pods.child("spec.restartPolicy");
    match restart.str() {
        "Always" | "" => restart.required(errors, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.has("podFailurePolicy") => {
            restart.invalid(errors, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => (),
        _ => restart.not_supported(errors, &["OnFailure", "Never"]),
    }
}

/// `domain/path` of another controller.
fn check_managed_by(place: &At, errors: &mut FieldErrors) {
    if !place.exists() {
        return;
    }
    names::check_prefixed_path(place, errors);
    if place.len() > 63 {
        errors.too_long(&*place.path, 63);
    }
}

fn check_mode(spec: &At, errors: &mut FieldErrors) {
    const HIGH: i64 = 100_000;
    let number = |field: &str| spec.child(field).int();
    let (mode, completions) = (spec.child("completionMode"), number("completions"));
    let (parallelism, failed) = (spec.child("parallelism"), spec.child("maxFailedIndexes"));
    let per_index = spec.child("backoffLimitPerIndex");
    let at_most = |place: &At, max: i64, tail: &str, errors: &mut FieldErrors| {
        if place.int().is_some_and(|number| number > max) {
            place.invalid(errors, format!("must be less than or equal to {max}{tail}"));
        }
    };
    if mode.exists() && !matches!(mode.str(), "NonIndexed" | "Indexed") {
        mode.not_supported(errors, &["NonIndexed", "Indexed"]);
    }
    if mode.str() == "Indexed" {
        if completions.is_none() {
            spec.child("completions").required(errors, "when completion mode is Indexed");
        }
        at_most(&parallelism, HIGH, " when completion mode is Indexed", errors);
        if completions.is_some_and(|completions| failed.int().is_some_and(|failed| failed > completions)) {
            failed.invalid(errors, "must be less than or equal to completions");
        }
        at_most(&failed, HIGH, "", errors);
        if completions.is_some_and(|completions| completions > HIGH) && per_index.exists() {
            let tail = format!(" when completions are above {HIGH} and used with backoff limit per index");
            if !failed.exists() {
                failed.required(errors, &format!("must be specified when completions is above {HIGH}"));
            }
            at_most(&parallelism, 10_000, &tail, errors);
            at_most(&failed, 10_000, &tail, errors);
        }
    } else if !mode.exists() || mode.str() == "NonIndexed" {
        for field in [&per_index, &failed] {
            if field.exists() {
                field.invalid(errors, "requires indexed completion mode");
            }
        }
    }
}

/// Pods of an indexed job are named after their index, which has to fit into a label.
pub fn check_host_names(job: &Tree, errors: &mut FieldErrors) {
    let completions = job.int("spec.completions").unwrap_or(0);
    if job.text("spec.completionMode") != "Indexed" || completions <= 0 {
        return;
    }
    let name = job.text("metadata.name");
    let longest = format!("{name}-{}", completions - 1);
    if !names::is_dns1123_label(&longest).is_empty() {
        let detail = format!("will not able to create pod with invalid DNS label: {longest}");
        errors.invalid("metadata.name", name, detail);
    }
}

pub fn check_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let completions = At::root(new).child("spec.completions");
    if new.text("spec.completionMode") != "Indexed" {
        completions.immutable(errors, at(old, "spec.completions"));
    } else if completions.exists()
        && completions.value != at(old, "spec.completions")
        && completions.int() != new.int("spec.parallelism")
    {
        completions.invalid(errors, "can only be modified in tandem with spec.parallelism");
    }
    immutable(errors, new, old, "spec.selector");
    check_template_update(new, old, errors);
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        immutable(errors, new, old, &format!("spec.{field}"));
    }
}

/// While a job is suspended and has not begun, where its pods run and what they ask for may change.
fn check_template_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let (template, mut before) = (at(new, "spec.template"), at(old, "spec.template").clone());
    let suspended = old.flag("spec.suspend") == Some(true);
    if suspended && !old.has("status.startTime") {
        const MUTABLE: &[&str] = &[
            "metadata.annotations",
            "metadata.labels",
            "spec.affinity.nodeAffinity",
            "spec.nodeSelector",
            "spec.tolerations",
            "spec.schedulingGates",
        ];
        for path in MUTABLE {
            match template.at(path) {
                Some(value) => drop(before.set(path, value.clone())),
                None => drop(before.unset(path)),
            }
        }
    }
    At::root(new).child("spec.template").immutable(errors, &before);
}
