//! ResourceSlice: devices that a driver offers on a node.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    selectable: &["spec.nodeName", "spec.driver"],
    columns: &[
        Column::NAME,
        Column::path("Node", "spec.nodeName"),
        Column::path("Driver", "spec.driver"),
        Column::path("Pool", "spec.pool.name"),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "resource.k8s.io",
        "ResourceSlice",
        "resourceslices",
        "resourceslice",
        &[
            Version::on("v1", "io.k8s.api.resource.v1.ResourceSlice"),
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.ResourceSlice"),
            Version::off("v1beta1", "io.k8s.api.resource.v1beta1.ResourceSlice"),
        ],
    )
};
