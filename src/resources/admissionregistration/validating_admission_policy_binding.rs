//! ValidatingAdmissionPolicyBinding: where a ValidatingAdmissionPolicy applies.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding")],
    )
};
