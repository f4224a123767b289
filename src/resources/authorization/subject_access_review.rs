//! SubjectAccessReview: tells whether someone may do something.

use crate::resources::{ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    verbs: Verbs::CreateOnly,
    ..ResourceDef::cluster(
        "authorization.k8s.io",
        "SubjectAccessReview",
        "subjectaccessreviews",
        "subjectaccessreview",
        &[Version::on("v1", "io.k8s.api.authorization.v1.SubjectAccessReview")],
    )
};
