//! Whether the expressions of policies compile.

use crate::object::cel::Program;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::{At, at};

const NAMES: [&str; 5] = ["object", "oldObject", "request", "namespaceObject", "authorizer"];

/// Compiles a match condition's expression, as hooks and policies without parameters have it.
pub fn check_condition(expression: &At, errors: &mut FieldErrors) {
    compile(expression, &NAMES, &[], errors);
}

/// Compiles every expression of a ValidatingAdmissionPolicy that changed.
pub fn check_validating(new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
    if old.is_some_and(|old| at(new, "spec") == at(old, "spec")) {
        return;
    }
    let spec = At::root(new).child("spec");
    let mut names = NAMES.to_vec();
    if spec.has("paramKind") {
        names.push("params");
    }
    for condition in spec.child("matchConditions").items() {
        compile(&condition.child("expression"), &names, &[], errors);
    }
    let mut known: Vec<&str> = Vec::new();
    let variables = spec.child("variables");
    if !variables.is_empty() {
        names.push("variables");
    }
    for variable in variables.items() {
        compile(&variable.child("expression"), &names, &known, errors);
        known.push(variable.text("name"));
    }
    for validation in spec.child("validations").items() {
        compile(&validation.child("expression"), &names, &known, errors);
        compile(&validation.child("messageExpression"), &names, &known, errors);
    }
    for annotation in spec.child("auditAnnotations").items() {
        compile(&annotation.child("valueExpression"), &names, &known, errors);
    }
}

fn compile(place: &At, names: &[&str], variables: &[&str], errors: &mut FieldErrors) {
    let source = place.str().trim();
    if source.is_empty() {
        return;
    }
    let is_known = |path: &[&str]| path.first().is_none_or(|name| variables.contains(name));
    let checked =
        Program::compile(source, names).and_then(|program| program.check_fields(source, "variables", &is_known));
    if let Err(why) = checked {
        place.invalid_text(errors, format!("compilation failed: {why}"));
    }
}
