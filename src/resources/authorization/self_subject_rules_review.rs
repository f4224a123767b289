//! SelfSubjectRulesReview: lists what the asker may do in a namespace.

use crate::resources::{ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    verbs: Verbs::CreateOnly,
    ..ResourceDef::cluster(
        "authorization.k8s.io",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        &[Version::on("v1", "io.k8s.api.authorization.v1.SelfSubjectRulesReview")],
    )
};
