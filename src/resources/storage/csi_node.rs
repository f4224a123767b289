//! CSINode: storage drivers on a node.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "CSINode",
        "csinodes",
        "csinode",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSINode")],
    )
};
