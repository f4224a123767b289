//! RuntimeClass: which container runtime runs a pod.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::path("Handler", "handler"), Column::AGE],
    ..ResourceDef::cluster(
        "node.k8s.io",
        "RuntimeClass",
        "runtimeclasses",
        "runtimeclass",
        &[Version::on("v1", "io.k8s.api.node.v1.RuntimeClass")],
    )
};
