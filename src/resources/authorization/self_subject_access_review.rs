//! SelfSubjectAccessReview: tells whether the asker may do something.

use crate::resources::{ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    verbs: Verbs::CreateOnly,
    ..ResourceDef::cluster(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        &[Version::on("v1", "io.k8s.api.authorization.v1.SelfSubjectAccessReview")],
    )
};
