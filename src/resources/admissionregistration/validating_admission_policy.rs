//! ValidatingAdmissionPolicy: refuses requests by CEL expressions.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        "validatingadmissionpolicy",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy")],
    )
};
