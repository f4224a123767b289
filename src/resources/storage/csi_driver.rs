//! CSIDriver: what a storage driver can do.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "CSIDriver",
        "csidrivers",
        "csidriver",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSIDriver")],
    )
};
