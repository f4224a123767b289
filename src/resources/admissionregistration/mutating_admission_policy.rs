//! MutatingAdmissionPolicy: changes requests by CEL expressions.

use super::expressions::{Expressions, OBJECT, PATCHES};
use super::param_kind;
use super::{policy_checks, rule_checks};
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    columns: &[
        Column::NAME,
        Column::count("Mutations", "spec.mutations").of("integer"),
        Column::with("ParamKind", param_kind),
        Column::AGE,
    ],
    rules: &MutatingAdmissionPolicy,
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicy",
        &[
            Version::on("v1", "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy"),
            Version::off("v1beta1", "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicy"),
            Version::off("v1alpha1", "io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicy"),
        ],
    )
};

pub struct MutatingAdmissionPolicy;

impl Rules for MutatingAdmissionPolicy {
    fn default(&self, new: &mut Tree) {
        policy_checks::default_policy(new);
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        policy_checks::check_policy(new, errors);
        let spec = At::root(new).child("spec");
        rule_checks::check_mutating_operations(&spec.child("matchConstraints"), errors);
        let mut expressions = Expressions::of_policy(new, old);
        policy_checks::check_expressions(new, old, &mut expressions, errors);
        expressions.compose();
        let mutations = spec.child("mutations");
        if mutations.is_empty() {
            mutations.required(errors, "mutations must contain at least one item");
        }
        mutations.items().for_each(|mutation| check_mutation(&mutation, &expressions, errors));
        spec.child("reinvocationPolicy").one_of(errors, &rule_checks::REINVOCATION_POLICIES);
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_mutation(mutation: &At, expressions: &Expressions, errors: &mut FieldErrors) {
    const TYPES: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];
    let kind = mutation.text("patchType");
    let (own, other, wanted) = match kind {
        "JSONPatch" => ("jsonPatch", "applyConfiguration", PATCHES),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", OBJECT),
        _ => return mutation.child("patchType").one_of(errors, &TYPES),
    };
    let patch = mutation.child(own);
    let expression = patch.child("expression");
    if !patch.exists() {
        patch.required(errors, &format!("must be specified when patchType is {kind}"));
    } else if expression.str().trim().is_empty() {
        expression.required(errors, "");
    } else {
        expressions.check_trimmed(&expression, wanted, errors);
    }
    if mutation.has(other) {
        let detail = format!("must not be specified when patchType is {kind}");
        errors.invalid(mutation.path_to(other), format!("{{{other}}}"), detail);
    }
}
