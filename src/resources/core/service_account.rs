//! ServiceAccount: an identity for processes in pods.

use crate::resources::{Column, ResourceDef, Special, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sa"],
    subresources: &[Special::foreign("token", "authentication.k8s.io", "v1", "TokenRequest", &["create"])],
    columns: &[Column::NAME, Column::AGE],
    ..ResourceDef::namespaced(
        "",
        "ServiceAccount",
        "serviceaccounts",
        "serviceaccount",
        &[Version::on("v1", "io.k8s.api.core.v1.ServiceAccount")],
    )
};
