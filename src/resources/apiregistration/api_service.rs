//! APIService: who serves a group version.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "apiregistration.k8s.io",
        "APIService",
        "apiservices",
        "apiservice",
        &[Version::on("v1", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService")],
    )
};
