//! MutatingAdmissionPolicy: changes requests by CEL expressions.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
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
