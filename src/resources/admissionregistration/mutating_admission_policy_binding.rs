//! MutatingAdmissionPolicyBinding: where a MutatingAdmissionPolicy applies.

use super::param_ref;
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    columns: &[
        Column::NAME,
        Column::path("PolicyName", "spec.policyName"),
        Column::with("ParamRef", param_ref),
        Column::AGE,
    ],
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
