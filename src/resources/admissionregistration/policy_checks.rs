//! Admission policies and their bindings.

use super::expressions::Expressions;
use super::rule_checks::{
    FAILURE_POLICIES, check_choice, check_match_conditions, check_match_resources, default_match_resources,
};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, at};
use crate::resources::{labels, names};

const RESERVED: [&str; 20] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
];

pub fn default_policy(new: &mut Tree) {
    new.set_default("spec.failurePolicy", "Fail");
    default_match_resources(new, "spec.matchConstraints");
}

/// What both kinds of policies begin with.
pub fn check_policy(new: &Tree, errors: &mut FieldErrors) {
    let spec = At::root(new).child("spec");
    check_choice(&spec.child("failurePolicy"), errors, &FAILURE_POLICIES);
    check_param_kind(&spec.child("paramKind"), errors);
    let constraints = spec.child("matchConstraints");
    if constraints.exists() {
        check_match_resources(&constraints, errors);
        if constraints.child("resourceRules").is_empty() {
            errors.required(constraints.path_to("resourceRules"), "");
        }
    } else {
        constraints.required(errors, "");
    }
}

/// Conditions and variables, which follow what the kind of policy checks of its own.
pub fn check_expressions(new: &Tree, old: Option<&Tree>, expressions: &mut Expressions, errors: &mut FieldErrors) {
    let spec = At::root(new).child("spec");
    let same = |path: &str| old.is_some_and(|old| at(new, path) == at(old, path));
    if !(same("spec.paramKind") && same("spec.matchConditions")) {
        check_match_conditions(&spec.child("matchConditions"), expressions, errors);
    }
    for variable in spec.child("variables").items() {
        let name = variable.child("name");
        if name.str().trim().is_empty() {
            name.required(errors, "name is not specified");
        } else if !is_identifier(name.str()) {
            name.invalid(errors, "must be a valid CEL identifier");
        }
        let expression = variable.child("expression");
        if expression.str().trim().is_empty() {
            expression.required(errors, "expression is not specified");
        } else {
            expressions.declare(name.str(), &expression, errors);
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    starts
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        && name != "while"
        && !RESERVED.contains(&name)
}

fn check_param_kind(kind: &At, errors: &mut FieldErrors) {
    if !kind.exists() {
        return;
    }
    let place = kind.child("apiVersion");
    let text = place.str();
    let (group, version) = text.split_once('/').unwrap_or(("", text));
    if text.is_empty() {
        place.required(errors, "");
    } else if version.contains('/') {
        place.invalid(errors, format!("unexpected GroupVersion string: {text}"));
    } else {
        let mut complain = |part: &str, complaints: Vec<String>| {
            if !complaints.is_empty() {
                errors.invalid(&*place.path, part, complaints.join(","));
            }
        };
        if !group.is_empty() {
            complain(group, names::is_dns1123_subdomain(group));
        }
        match version {
            "" => complain(text, vec!["version must be specified".to_owned()]),
            _ => complain(version, names::is_dns1035_label(version)),
        }
    }
    let name = kind.child("kind");
    let complaints = names::is_dns1035_label(&name.str().to_lowercase());
    if name.is_empty() {
        name.required(errors, "");
    } else if !complaints.is_empty() {
        name.invalid(errors, format!("may have mixed case, but should otherwise match: {}", complaints.join(",")));
    }
}

pub fn default_binding(new: &mut Tree) {
    default_match_resources(new, "spec.matchResources");
}

pub fn check_binding(new: &Tree, errors: &mut FieldErrors) {
    let spec = At::root(new).child("spec");
    let policy = spec.child("policyName");
    if policy.is_empty() {
        policy.required(errors, "");
    } else {
        policy.format(errors, names::is_dns1123_subdomain(policy.str()));
    }
    check_param_ref(&spec.child("paramRef"), errors);
    check_match_resources(&spec.child("matchResources"), errors);
}

fn check_param_ref(reference: &At, errors: &mut FieldErrors) {
    const EITHER: &str = "name and selector are mutually exclusive";
    if !reference.exists() {
        return;
    }
    let (name, selector) = (reference.child("name"), reference.child("selector"));
    if !name.is_empty() {
        name.format(errors, names::path_segment(name.str(), false));
        if selector.exists() {
            name.forbidden(errors, EITHER);
        }
    }
    if selector.exists() {
        labels::check_selector(&selector, errors);
        if !name.is_empty() {
            selector.forbidden(errors, EITHER);
        }
    } else if name.is_empty() {
        reference.required(errors, "one of name or selector must be specified");
    }
    let action = reference.child("parameterNotFoundAction");
    if action.is_empty() {
        action.required(errors, "");
    } else {
        check_choice(&action, errors, &["Deny", "Allow"]);
    }
}
