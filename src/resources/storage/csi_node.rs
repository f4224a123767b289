//! CSINode: storage drivers on a node.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column { kind: "integer", ..Column::count("Drivers", "spec.drivers") }, Column::AGE],
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "CSINode",
        "csinodes",
        "csinode",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSINode")],
    )
};
