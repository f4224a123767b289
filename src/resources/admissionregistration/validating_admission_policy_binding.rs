//! ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy applies.

use super::param_ref;
use super::policy_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    columns: &[
        Column::NAME,
        Column::path("PolicyName", "spec.policyName"),
        Column::with("ParamRef", param_ref),
        Column::AGE,
    ],
    rules: &ValidatingAdmissionPolicyBinding,
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding")],
    )
};

pub struct ValidatingAdmissionPolicyBinding;

impl Rules for ValidatingAdmissionPolicyBinding {
    fn default(&self, new: &mut Tree) {
        policy_checks::default_binding(new);
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        policy_checks::check_binding(new, errors);
        check_actions(&At::root(new).child("spec.validationActions"), errors);
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_actions(actions: &At, errors: &mut FieldErrors) {
    const KNOWN: [&str; 3] = ["Audit", "Deny", "Warn"];
    let mut seen = std::collections::BTreeSet::new();
    for action in actions.items() {
        if !KNOWN.contains(&action.str()) {
            action.not_supported(errors, &KNOWN);
        }
        if !seen.insert(action.str()) {
            action.duplicate(errors);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        actions.invalid(
            errors,
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
        );
    }
    if seen.is_empty() {
        actions.required(errors, "at least one validation action is required");
    }
}
