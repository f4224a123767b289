//! MutatingAdmissionPolicyBinding: where a MutatingAdmissionPolicy applies.

use super::param_ref;
use super::{policy_checks, rule_checks};
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
    rules: &MutatingAdmissionPolicyBinding,
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        "mutatingadmissionpolicybinding",
        &[
            Version::on("v1", "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding"),
            Version::off("v1beta1", "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicyBinding"),
            Version::off("v1alpha1", "io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicyBinding"),
        ],
    )
};

pub struct MutatingAdmissionPolicyBinding;

impl Rules for MutatingAdmissionPolicyBinding {
    fn default(&self, new: &mut Tree) {
        policy_checks::default_binding(new);
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        policy_checks::check_binding(new, errors);
        rule_checks::check_mutating_operations(&At::root(new).child("spec.matchResources"), errors);
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}
