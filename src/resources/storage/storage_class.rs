//! StorageClass: how volumes are made.

use crate::object::tree::TreePath;
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sc"],
    columns: &[
        Column::NAME,
        Column::path("Provisioner", "provisioner"),
        Column::path_or("ReclaimPolicy", "reclaimPolicy", "Delete"),
        Column::path_or("VolumeBindingMode", "volumeBindingMode", "Immediate"),
        Column::with("AllowVolumeExpansion", |o| o.flag("allowVolumeExpansion").unwrap_or(false).into()),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "StorageClass",
        "storageclasses",
        "storageclass",
        &[Version::on("v1", "io.k8s.api.storage.v1.StorageClass")],
    )
};
