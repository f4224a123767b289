//! Deployment: replaces a set of equal pods step by step.

use crate::resources::{ResourceDef, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["deploy"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    ..ResourceDef::namespaced(
        "apps",
        "Deployment",
        "deployments",
        "deployment",
        &[Version::on("v1", "io.k8s.api.apps.v1.Deployment")],
    )
};
