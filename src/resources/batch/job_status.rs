//! The status of a Job: counters that only rise, and conditions that exclude each other.

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::has_condition;
use crate::resources::check::{At, at};
use crate::resources::numbers::check_counts;

pub fn check(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let status = At::root(new).child("status");
    check_counts(&status, &["active", "succeeded", "failed", "ready", "terminating"], errors);
    let mut seen = BTreeSet::new();
    let uncounted = status.child("uncountedTerminatedPods");
    for uid in ["succeeded", "failed"].iter().flat_map(|list| uncounted.child(list).items()) {
        if uid.is_empty() {
            uid.invalid_text(errors, "must not be empty");
        } else if !seen.insert(uid.str()) {
            uid.duplicate(errors);
        }
    }
    check_conditions(&status, new, errors);
    if status.has("completionTime") && !has_condition(new, "Complete") {
        status
            .child("completionTime")
            .invalid(errors, "cannot set completionTime when there is no Complete=True condition");
    }
    let ready = status.child("ready");
    if ready.int().is_some_and(|ready| ready > new.int("status.active").unwrap_or(0)) {
        ready.invalid(errors, "cannot set more ready pods than active");
    }
    check_transition(&status, new, old, errors);
}

fn check_conditions(status: &At, job: &Tree, errors: &mut FieldErrors) {
    const TOGETHER: &[(&str, &str, &str)] = &[
        ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
        ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
        ("SuccessCriteriaMet", "Failed", "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        ("SuccessCriteriaMet", "FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
    ];
    for (one, other, complaint) in TOGETHER {
        if has_condition(job, one) && has_condition(job, other) {
            errors.invalid_without_value(status.path_to("conditions"), complaint);
        }
    }
    let met = has_condition(job, "SuccessCriteriaMet");
    if job.has("spec.successPolicy") && !met && has_condition(job, "Complete") {
        let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        errors.invalid_without_value(status.path_to("conditions"), detail);
    }
}

fn check_transition(status: &At, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if has_condition(old, kind) && !has_condition(new, kind) {
            let detail = format!("cannot disable the terminal {kind}=True condition");
            errors.invalid_without_value(status.path_to("conditions"), detail);
        }
    }
    for counter in ["failed", "succeeded"] {
        let (before, now) = (old.int(&format!("status.{counter}")), status.child(counter).int().unwrap_or(0));
        if now < before.unwrap_or(0) {
            errors.invalid(status.path_to(counter), now, format!("cannot decrease the {counter} counter"));
        }
    }
    let done = status.child("completionTime");
    let before = at(old, "status.completionTime");
    if done.exists() && !before.is_null() && done.value != before {
        done.invalid(errors, "field is immutable");
    }
    let start = status.child("startTime");
    let before = at(old, "status.startTime");
    if !before.is_null() && start.value != before && new.flag("spec.suspend") != Some(true) {
        start.invalid(errors, "field is immutable for unsuspended job once set");
    }
}
