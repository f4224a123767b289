//! StorageVersionMigration: rewrites the objects of a resource in its storage version.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        "storageversionmigrations",
        "storageversionmigration",
        &[Version::off("v1beta1", "io.k8s.api.storagemigration.v1beta1.StorageVersionMigration")],
    )
};
