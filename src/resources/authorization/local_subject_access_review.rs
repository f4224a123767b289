//! LocalSubjectAccessReview: tells whether someone may do something in one namespace.

use crate::resources::{ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    verbs: Verbs::CreateOnly,
    ..ResourceDef::namespaced(
        "authorization.k8s.io",
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        "localsubjectaccessreview",
        &[Version::on("v1", "io.k8s.api.authorization.v1.LocalSubjectAccessReview")],
    )
};
