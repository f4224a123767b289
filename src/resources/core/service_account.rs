//! ServiceAccount: an identity for processes in pods.

use crate::resources::{ResourceDef, Special, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sa"],
    subresources: &[Special::foreign("token", "authentication.k8s.io", "v1", "TokenRequest", &["create"])],
    ..ResourceDef::namespaced(
        "",
        "ServiceAccount",
        "serviceaccounts",
        "serviceaccount",
        &[Version::on("v1", "io.k8s.api.core.v1.ServiceAccount")],
    )
};
