//! Deployment: replaces a set of equal pods step by step.

use super::ready;
use crate::object::tree::TreePath;
use crate::resources::cells::{CONTAINERS, IMAGES, selector_text};
use crate::resources::{Column, ResourceDef, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["deploy"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    columns: &[
        Column::NAME,
        Column::with("Ready", ready),
        Column::number("Up-to-date", "status.updatedReplicas").of("string"),
        Column::number("Available", "status.availableReplicas").of("string"),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        Column::with("Selector", |o| selector_text(o.at("spec.selector")).into()).wide(),
    ],
    ..ResourceDef::namespaced(
        "apps",
        "Deployment",
        "deployments",
        "deployment",
        &[Version::on("v1", "io.k8s.api.apps.v1.Deployment")],
    )
};
