//! When a job counts as failed or succeeded before all its pods have ended.

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::tree::TreePath;
use crate::resources::check::At;
use crate::resources::inner;
use crate::resources::names;

const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];

pub fn check(spec: &At, errors: &mut FieldErrors) {
    let (failure, success) = (spec.child("podFailurePolicy"), spec.child("successPolicy"));
    if failure.exists() {
        check_failure(&failure, spec, errors);
    }
    if success.exists() {
        if spec.text("completionMode") == "Indexed" {
            check_success(&success, spec, errors);
        } else {
            let shown = inner::compact("SuccessPolicy", success.value);
            errors.invalid_shown(&*success.path, &shown, "requires indexed completion mode");
        }
    }
    let replacement = spec.child("podReplacementPolicy");
    let allowed: &[&str] = if failure.exists() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if replacement.exists() && !allowed.contains(&replacement.str()) {
        replacement.not_supported(errors, allowed);
    }
}

/// The values as Go prints a list of strings.
fn valid_values(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

/// One of a few words, which the complaint about none lists.
fn check_word(word: &At, values: &[&str], errors: &mut FieldErrors) {
    if word.is_empty() {
        word.required(errors, &valid_values(values));
    } else if !values.contains(&word.str()) {
        word.not_supported(errors, values);
    }
}

fn check_failure(policy: &At, spec: &At, errors: &mut FieldErrors) {
    let rules = policy.child("rules");
    if rules.len() > 20 {
        errors.too_many(&*rules.path, rules.len(), 20);
    }
    let pods = spec.child("template.spec");
    let containers: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pods.child(list).items())
        .map(|c| c.text("name"))
        .collect();
    for rule in rules.items() {
        let action = rule.child("action");
        if action.str() == "FailIndex" {
            if !spec.has("backoffLimitPerIndex") {
                action.invalid(errors, "requires the backoffLimitPerIndex to be set");
            }
        } else {
            check_word(&action, ACTIONS, errors);
        }
        let (codes, conditions) = (rule.child("onExitCodes"), rule.child("onPodConditions"));
        if codes.exists() {
            check_exit_codes(&codes, &containers, errors);
        }
        check_conditions(&conditions, errors);
        if codes.exists() && !conditions.is_empty() {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.invalid_without_value(&*rule.path, detail);
        }
        if !codes.exists() && conditions.is_empty() {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.invalid_without_value(&*rule.path, detail);
        }
    }
}

fn check_exit_codes(codes: &At, containers: &BTreeSet<&str>, errors: &mut FieldErrors) {
    let (operator, name, values) = (codes.child("operator"), codes.child("containerName"), codes.child("values"));
    check_word(&operator, OPERATORS, errors);
    if name.exists() && !containers.contains(name.str()) {
        name.invalid(errors, "must be one of the container or initContainer names in the pod template");
    }
    if values.is_empty() {
        errors.invalid_shown(&*values.path, "[]", "at least one value is required");
    } else if values.len() > 255 {
        errors.too_many(&*values.path, values.len(), 255);
    }
    let mut seen = BTreeSet::new();
    for value in values.items() {
        let code = value.int().unwrap_or(0);
        if operator.str() == "In" && code == 0 {
            value.invalid(errors, "must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            value.duplicate(errors);
        }
    }
    let list: Vec<i64> = values.items().filter_map(|value| value.int()).collect();
    if !list.is_sorted() {
        values.invalid(errors, "must be ordered");
    }
}

fn check_conditions(conditions: &At, errors: &mut FieldErrors) {
    if conditions.len() > 20 {
        errors.too_many(&*conditions.path, conditions.len(), 20);
    }
    for pattern in conditions.items() {
        pattern.child("type").format(errors, names::is_qualified_name(pattern.text("type")));
        check_word(&pattern.child("status"), STATUSES, errors);
    }
}

fn check_success(policy: &At, spec: &At, errors: &mut FieldErrors) {
    let rules = policy.child("rules");
    if rules.is_empty() {
        rules.required(errors, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        errors.too_many(&*rules.path, rules.len(), 20);
    }
    let completions = spec.value.int("completions").unwrap_or(0);
    for rule in rules.items() {
        let (count, indexes) = (rule.child("succeededCount"), rule.child("succeededIndexes"));
        if !count.exists() && !indexes.exists() {
            rule.required(errors, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut listed = None;
        if indexes.exists() {
            if indexes.len() > 64 << 10 {
                errors.too_long(&*indexes.path, 64 << 10);
            }
            match count_indexes(indexes.str(), completions) {
                Ok(total) => listed = Some(total),
                Err(why) => indexes.invalid(errors, format!("error parsing succeededIndexes: {why}")),
            }
        }
        count.nonnegative(errors);
        let Some(number) = count.int() else { continue };
        if number > completions {
            let what = "the number of specified completions";
            count.invalid(errors, format!("must be less than or equal to {completions} ({what})"));
        }
        if let Some(total) = listed.or(indexes.exists().then_some(0)).filter(|total| number > *total) {
            let what = "the number of indexes in the specified succeededIndexes field";
            count.invalid(errors, format!("must be less than or equal to {total} ({what})"));
        }
    }
}

/// How many indexes a list such as `1,3-5,7` holds; they have to rise and stay below `completions`.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let number = |text: &str| -> Result<i64, String> {
        let index: i64 = text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if index >= completions {
            return Err(format!("too large index: {text:?}"));
        }
        Ok(index)
    };
    let (mut total, mut last) = (0, None);
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let ends: Vec<&str> = part.split('-').collect();
        if ends.len() > 2 {
            return Err(format!(
                "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        let first = number(ends[0])?;
        if let Some(last) = last.filter(|last| first <= *last) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        let end = ends.get(1).map_or(Ok(first), |end| number(end))?;
        if ends.len() == 2 && end <= first {
            return Err(format!("non-increasing order, previous: {first}, current: {end}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}
