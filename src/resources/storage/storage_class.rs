//! StorageClass: how volumes are made.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sc"],
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "StorageClass",
        "storageclasses",
        "storageclass",
        &[Version::on("v1", "io.k8s.api.storage.v1.StorageClass")],
    )
};
