//! What makes an Event valid: both kinds are stored as the core one, and checked by who wrote them.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, at, immutable};
use crate::resources::names;

/// What holds for every event; `core` says that it came as one of the core group.
pub fn check(event: &Tree, core: bool, errors: &mut FieldErrors) {
    let root = At::root(event);
    let (own, of_object) = (event.text("metadata.namespace"), root.child("involvedObject.namespace"));
    let mismatch = |errors: &mut FieldErrors| of_object.invalid_text(errors, "does not match event.namespace");
    if !event.has("eventTime") {
        match of_object.str() {
            "" if !matches!(own, "" | "default") => mismatch(errors),
            "" => (),
            namespace if namespace != own => mismatch(errors),
            _ => (),
        }
    } else {
        if of_object.is_empty() && !matches!(own, "default" | "kube-system") {
            mismatch(errors);
        }
        let reporter = root.child("reportingComponent");
        let reporter = At::new(reporter.value, if core { "reportingComponent" } else { "reportingController" });
        if reporter.is_empty() {
            reporter.required(errors, "");
        }
        reporter.format(errors, names::is_qualified_name(reporter.str()));
        for field in ["reportingInstance", "action", "reason"] {
            if event.text(field).is_empty() {
                errors.required(field, "");
            }
            check_length(event, field, 128, errors);
        }
        check_length(event, "message", 1024, errors);
    }
    for complaint in names::is_dns1123_subdomain(own) {
        errors.invalid("namespace", own, complaint);
    }
}

fn check_length(event: &Tree, field: &str, max: usize, errors: &mut FieldErrors) {
    if event.text(field).len() > max {
        errors.invalid(field, "", format!("can have at most {max} characters"));
    }
}

/// What holds for new events of `events.k8s.io`.
pub fn check_create(event: &Tree, errors: &mut FieldErrors) {
    check_series(event, errors);
    if !event.has("eventTime") {
        errors.required("eventTime", "");
    }
    let kind = event.text("type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.invalid("type", "", format!("has invalid value: {kind}"));
    }
    let set = |field: &str| match at(event, field) {
        Tree::Null => false,
        Tree::Number(number) => number.as_i64() != Some(0),
        Tree::Object(map) => !map.is_empty(),
        _ => true,
    };
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if set(field) {
            errors.invalid(field, "", "needs to be unset");
        }
    }
}

/// Of an event of `events.k8s.io` only the series goes on.
pub fn check_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    if new.get("series") != old.get("series") {
        check_series(new, errors);
    }
    for field in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
    ] {
        immutable(errors, new, old, field);
    }
    At::new(at(new, "reportingComponent"), "reportingController").immutable(errors, at(old, "reportingComponent"));
    immutable(errors, new, old, "reportingInstance");
}

fn check_series(event: &Tree, errors: &mut FieldErrors) {
    if !event.has("series") {
        return;
    }
    if event.int("series.count").unwrap_or(0) < 2 {
        errors.invalid("series.count", "", "should be at least 2");
    }
    if !event.has("series.lastObservedTime") {
        errors.required("series.lastObservedTime", "");
    }
}
