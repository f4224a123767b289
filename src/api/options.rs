//! The options in a query (`metav1.ListOptions`, `CreateOptions`, …): read, and checked as upstream
//! words it.

use crate::object::field::{Complaint, FieldErrors};
use crate::object::tree::{Tree, json};
use crate::object::{Gvk, Options, PatchKind, Status, Verb};

use super::request::{RequestLine, truth};

const FIELD_MANAGER_LEN_MAX: usize = 128;

/// Reads the options that `verb` takes. What belongs to none of them goes to [`Options::other`].
pub fn read(line: &RequestLine, verb: Verb, patch: Option<PatchKind>) -> Result<Options, Status> {
    let mut options = Options::default();
    let mut dry_run: Vec<&str> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &line.query {
        let first = !seen.contains(&name.as_str());
        seen.push(name);
        match name.as_str() {
            "dryRun" => dry_run.push(value),
            _ if !first => options.other.push((name.clone(), value.clone())),
            "labelSelector" => options.label_selector = value.clone(),
            "fieldSelector" => options.field_selector = value.clone(),
            "limit" => options.limit = Some(int(value)?).filter(|limit| *limit != 0),
            "continue" => options.continue_token = value.clone(),
            "resourceVersion" => options.resource_version = value.clone(),
            "resourceVersionMatch" => options.resource_version_match = value.clone(),
            "timeoutSeconds" => options.timeout_seconds = Some(int(value)?),
            "allowWatchBookmarks" => options.allow_watch_bookmarks = truth(value),
            "sendInitialEvents" => options.send_initial_events = Some(truth(value)),
            "fieldManager" => options.field_manager = value.clone(),
            "fieldValidation" => options.field_validation = value.clone(),
            "force" => options.force = Some(truth(value)),
            "gracePeriodSeconds" if matches!(verb, Verb::Delete | Verb::DeleteCollection) => {
                int(value)?;
                options.other.push((name.clone(), value.clone()));
            }
            _ => options.other.push((name.clone(), value.clone())),
        }
    }
    let mut errors = FieldErrors::default();
    let kind = match verb {
        Verb::Get => return Ok(options),
        Verb::List | Verb::Watch => {
            check_list(&options, verb == Verb::Watch, &mut errors);
            "ListOptions"
        }
        Verb::Create => "CreateOptions",
        Verb::Update => "UpdateOptions",
        Verb::Patch => {
            check_patch(&options, patch, &mut errors);
            "PatchOptions"
        }
        Verb::Delete | Verb::DeleteCollection => "DeleteOptions",
    };
    match verb {
        Verb::Create | Verb::Update | Verb::Patch => {
            check_field_manager(&options.field_manager, &mut errors);
            check_dry_run(&dry_run, &mut errors);
            check_field_validation(&options.field_validation, &mut errors);
        }
        Verb::Delete | Verb::DeleteCollection => check_dry_run(&dry_run, &mut errors),
        _ => (),
    }
    options.dry_run = !dry_run.is_empty();
    if errors.is_empty() { Ok(options) } else { Err(invalid(kind, errors)) }
}

/// The 422 answer about options of `kind`.
pub fn invalid(kind: &'static str, errors: FieldErrors) -> Status {
    errors.into_status(&Gvk::fixed("meta.k8s.io", "v1", kind), "")
}

fn int(text: &str) -> Result<i64, Status> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
}

fn check_patch(options: &Options, patch: Option<PatchKind>, errors: &mut FieldErrors) {
    if patch == Some(PatchKind::Apply) {
        if options.field_manager.is_empty() {
            errors.required("fieldManager", "is required for apply patch");
        }
    } else if options.force.is_some() {
        errors.forbidden("force", "may not be specified for non-apply patch");
    }
}

fn check_field_manager(manager: &str, errors: &mut FieldErrors) {
    if manager.len() > FIELD_MANAGER_LEN_MAX {
        errors.too_long("fieldManager", FIELD_MANAGER_LEN_MAX);
    }
    for (at, c) in manager.char_indices() {
        if c.is_control() {
            errors.invalid("fieldManager", manager, format!("invalid character U+{:04X} (at position {at})", c as u32));
        }
    }
}

pub fn check_dry_run(values: &[&str], errors: &mut FieldErrors) {
    if values.iter().any(|value| *value != "All") {
        not_supported(errors, "dryRun", json!(values), &["All"]);
    }
}

fn check_field_validation(value: &str, errors: &mut FieldErrors) {
    if !matches!(value, "" | "Ignore" | "Warn" | "Strict") {
        not_supported(errors, "fieldValidation", json!(value), &["", "Ignore", "Strict", "Warn"]);
    }
}

/// What goes with what in a list or watch.
fn check_list(options: &Options, watch: bool, errors: &mut FieldErrors) {
    let rule = options.resource_version_match.as_str();
    match options.send_initial_events {
        Some(_) if !watch => errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"),
        Some(_) => {
            if rule != "NotOlderThan" {
                errors.forbidden(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            }
            if !rule.is_empty() && rule != "NotOlderThan" {
                not_supported(errors, "resourceVersionMatch", json!(rule), &["NotOlderThan"]);
            }
            return;
        }
        None => (),
    }
    if rule.is_empty() {
        return;
    }
    if watch {
        errors.forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        );
        return;
    }
    if options.resource_version.is_empty() {
        errors
            .forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
    }
    if !options.continue_token.is_empty() {
        errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
    }
    if !matches!(rule, "Exact" | "NotOlderThan") {
        not_supported(errors, "resourceVersionMatch", json!(rule), &["Exact", "NotOlderThan", ""]);
    }
    if rule == "Exact" && options.resource_version == "0" {
        errors
            .forbidden("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    }
}

/// As [`FieldErrors::not_supported`], with the values in the order that upstream gives them here.
pub fn not_supported(errors: &mut FieldErrors, field: &str, value: Tree, supported: &[&str]) {
    let names: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
    errors.push(Complaint::NotSupported, field, format!("supported values: {}", names.join(", ")), Some(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verb: Verb, query: &str, expected: &str) {
        let method = if verb == Verb::Create { "POST" } else { "GET" };
        let line = RequestLine::read(method, "/api/v1/pods", query);
        let got =
            read(&line, verb, None).map_or_else(|status| status.message, |options| format!("{:?}", options.limit));
        assert_eq!(got, expected, "{query}");
    }

    #[test]
    fn options_are_checked_in_upstreams_words() {
        check(Verb::List, "limit=5&limit=7", "Some(5)");
        check(Verb::List, "limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax");
        check(
            Verb::Create,
            "dryRun=All&dryRun=Some",
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"All\",\"Some\"]: supported values: \"All\"",
        );
        check(
            Verb::Watch,
            "watch=1&sendInitialEvents=x",
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
    }
}
