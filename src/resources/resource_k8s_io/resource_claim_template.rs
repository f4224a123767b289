//! ResourceClaimTemplate: a template of claims, one for each pod.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::AGE],
    ..ResourceDef::namespaced(
        "resource.k8s.io",
        "ResourceClaimTemplate",
        "resourceclaimtemplates",
        "resourceclaimtemplate",
        &[
            Version::on("v1", "io.k8s.api.resource.v1.ResourceClaimTemplate"),
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.ResourceClaimTemplate"),
            Version::off("v1beta1", "io.k8s.api.resource.v1beta1.ResourceClaimTemplate"),
        ],
    )
};
