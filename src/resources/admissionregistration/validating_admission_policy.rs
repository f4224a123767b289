//! ValidatingAdmissionPolicy: refuses requests by CEL expressions.

use super::param_kind;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::count("Validations", "spec.validations").of("integer"),
        Column::with("ParamKind", param_kind),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        "validatingadmissionpolicy",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy")],
    )
};
