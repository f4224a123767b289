//! SelfSubjectReview: tells who asks.

use crate::resources::{ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    verbs: Verbs::CreateOnly,
    ..ResourceDef::cluster(
        "authentication.k8s.io",
        "SelfSubjectReview",
        "selfsubjectreviews",
        "selfsubjectreview",
        &[Version::on("v1", "io.k8s.api.authentication.v1.SelfSubjectReview")],
    )
};
