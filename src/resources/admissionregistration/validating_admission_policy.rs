//! ValidatingAdmissionPolicy: refuses requests by CEL expressions.

use super::expressions::{BOOL, Expressions, TEXT_OR_NOTHING};
use super::param_kind;
use super::policy_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::names;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::count("Validations", "spec.validations").of("integer"),
        Column::with("ParamKind", param_kind),
        Column::AGE,
    ],
    rules: &ValidatingAdmissionPolicy,
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        "validatingadmissionpolicy",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy")],
    )
};

pub struct ValidatingAdmissionPolicy;

impl Rules for ValidatingAdmissionPolicy {
    fn default(&self, new: &mut Tree) {
        policy_checks::default_policy(new);
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        policy_checks::check_policy(new, errors);
        let mut expressions = Expressions::of_policy(new, old);
        policy_checks::check_expressions(new, old, &mut expressions, errors);
        let spec = At::root(new).child("spec");
        let (validations, annotations) = (spec.child("validations"), spec.child("auditAnnotations"));
        if validations.is_empty() && annotations.is_empty() {
            for place in [&validations, &annotations] {
                place.required(errors, "validations or auditAnnotations must contain at least one item");
            }
        }
        validations.items().for_each(|validation| check_validation(&validation, &expressions, errors));
        check_annotations(&annotations, new.text("metadata.name"), &expressions, errors);
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_validation(validation: &At, expressions: &Expressions, errors: &mut FieldErrors) {
    const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    let expression = validation.child("expression");
    if expression.str().trim().is_empty() {
        expression.required(errors, "expression is not specified");
    } else {
        expressions.check(&expression, BOOL, errors);
    }
    for field in ["messageExpression", "message"] {
        let text = validation.child(field);
        if !text.is_empty() && text.str().trim().is_empty() {
            text.invalid(errors, "must be non-empty if specified");
        } else if field == "messageExpression" {
            expressions.check_message(&text, errors);
        } else if text.str().trim().contains(['\n', '\r']) {
            text.invalid(errors, "must not contain line breaks");
        }
    }
    let reason = validation.child("reason");
    if reason.exists() && !REASONS.contains(&reason.str()) {
        reason.not_supported(errors, &REASONS);
    }
}

fn check_annotations(annotations: &At, policy: &str, expressions: &Expressions, errors: &mut FieldErrors) {
    const MAX: usize = 20;
    const MAX_BYTES: usize = 5 * 1024;
    if annotations.len() > MAX {
        annotations.invalid(errors, format!("must not have more than {MAX} auditAnnotations"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for annotation in annotations.items() {
        let key = annotation.child("key");
        if policy.is_empty() {
            key.invalid_text(errors, "requires metadata.name be non-empty");
        } else {
            let full = format!("{policy}/{}", key.str());
            for complaint in names::is_qualified_name(&full) {
                errors.invalid(&*key.path, &*full, complaint);
            }
        }
        let value = annotation.child("valueExpression");
        match value.str().trim().len() {
            0 => value.required(errors, "valueExpression is not specified"),
            length if length > MAX_BYTES => value.required(errors, "must not exceed 5120 bytes in length"),
            _ => expressions.check(&value, TEXT_OR_NOTHING, errors),
        }
        if !seen.insert(key.str()) {
            key.duplicate(errors);
        }
    }
}
