//! MutatingAdmissionPolicy: changes requests by CEL expressions.

use super::param_kind;
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    columns: &[
        Column::NAME,
        Column::count("Mutations", "spec.mutations").of("integer"),
        Column::with("ParamKind", param_kind),
        Column::AGE,
    ],
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
