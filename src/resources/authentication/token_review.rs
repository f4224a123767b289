//! TokenReview: tells whose a token is.

use crate::resources::{ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    verbs: Verbs::CreateOnly,
    ..ResourceDef::cluster(
        "authentication.k8s.io",
        "TokenReview",
        "tokenreviews",
        "tokenreview",
        &[Version::on("v1", "io.k8s.api.authentication.v1.TokenReview")],
    )
};
