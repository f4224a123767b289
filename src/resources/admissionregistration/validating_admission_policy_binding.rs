//! ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy applies.

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
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding")],
    )
};
