//! Lists of webhooks, which may change or only refuse.

use std::collections::BTreeSet;

use super::expressions::Expressions;
use super::rule_checks::{
    FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION_POLICIES, check_choice, check_match_conditions, check_rule,
    default_match, default_rules,
};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, at};
use crate::resources::defaults::each;
use crate::resources::{labels, names, webhooks};

const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

pub fn default(new: &mut Tree) {
    each(new, "webhooks", |hook| {
        hook.set_default("failurePolicy", "Fail");
        default_match(hook);
        hook.set_default("timeoutSeconds", 10);
        default_rules(hook, "rules");
        if let Some(config) = hook.at_mut("clientConfig") {
            webhooks::default_client(config);
        }
    });
}

/// What an object that was stored before may still get wrong.
struct Leniency {
    side_effects: bool,
    versions: bool,
    names: bool,
    conditions: bool,
}

impl Leniency {
    fn new(new: &Tree, old: Option<&Tree>) -> Self {
        let Some(old) = old else {
            return Self { side_effects: false, versions: false, names: false, conditions: false };
        };
        let hooks = old.items("webhooks");
        let mut seen = BTreeSet::new();
        let conditions = |tree: &Tree| -> Vec<Tree> {
            tree.items("webhooks").iter().map(|hook| at(hook, "matchConditions").clone()).collect()
        };
        Self {
            side_effects: hooks.iter().any(|hook| !NO_SIDE_EFFECTS.contains(&hook.text("sideEffects"))),
            versions: hooks.iter().any(|hook| {
                let versions = hook.items("admissionReviewVersions");
                !versions.is_empty() && !versions.iter().any(is_known_version)
            }),
            names: hooks.iter().any(|hook| !seen.insert(hook.text("name"))),
            conditions: conditions(new) == conditions(old),
        }
    }
}

fn is_known_version(version: &Tree) -> bool {
    version.as_str().is_some_and(|version| REVIEW_VERSIONS.contains(&version))
}

pub fn check(new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
    let lenient = Leniency::new(new, old);
    let mut seen = BTreeSet::new();
    for hook in At::root(new).child("webhooks").items() {
        check_hook(&hook, &lenient, errors);
        check_versions(&hook.child("admissionReviewVersions"), lenient.versions, errors);
        let name = hook.child("name");
        if !lenient.names && !name.is_empty() && !seen.insert(name.str()) {
            name.duplicate(errors);
        }
    }
}

fn check_hook(hook: &At, lenient: &Leniency, errors: &mut FieldErrors) {
    check_full_name(&hook.child("name"), errors);
    for rule in hook.child("rules").items() {
        check_rule(&rule, errors);
    }
    check_choice(&hook.child("failurePolicy"), errors, &FAILURE_POLICIES);
    check_choice(&hook.child("matchPolicy"), errors, &MATCH_POLICIES);
    let side_effects = hook.child("sideEffects");
    let allowed: &[&str] = if lenient.side_effects { &SIDE_EFFECTS } else { &NO_SIDE_EFFECTS };
    if !side_effects.exists() {
        side_effects.required(errors, &format!("must specify one of {}", allowed.join(", ")));
    }
    check_choice(&side_effects, errors, allowed);
    let timeout = hook.child("timeoutSeconds");
    if timeout.int().is_some_and(|secs| !(1..=30).contains(&secs)) {
        timeout.invalid(errors, "the timeout value must be between 1 and 30 seconds");
    }
    for field in ["namespaceSelector", "objectSelector"] {
        labels::check_selector(&hook.child(field), errors);
    }
    check_choice(&hook.child("reinvocationPolicy"), errors, &REINVOCATION_POLICIES);
    webhooks::check_client(&hook.child("clientConfig"), errors);
    if !lenient.conditions {
        let conditions = hook.child("matchConditions");
        check_match_conditions(&conditions, &Expressions::new(false), errors);
    }
}

fn check_full_name(name: &At, errors: &mut FieldErrors) {
    let complaints = names::is_dns1123_subdomain(name.str());
    if name.is_empty() {
        name.required(errors, "");
    } else if !complaints.is_empty() {
        name.invalid(errors, complaints.join(","));
    } else if name.str().split('.').count() < 3 {
        name.invalid(errors, "should be a domain with at least three segments separated by dots");
    }
}

fn check_versions(versions: &At, lenient: bool, errors: &mut FieldErrors) {
    if versions.is_empty() {
        return versions.required(errors, &format!("must specify one of {}", REVIEW_VERSIONS.join(", ")));
    }
    let mut seen = BTreeSet::new();
    for version in versions.items() {
        if seen.insert(version.str()) {
            version.format(errors, names::is_dns1035_label(version.str()));
        } else {
            version.invalid(errors, "duplicate version");
        }
    }
    if !lenient && !versions.items().any(|version| is_known_version(version.value)) {
        versions.invalid(errors, format!("must include at least one of {}", REVIEW_VERSIONS.join(", ")));
    }
}
