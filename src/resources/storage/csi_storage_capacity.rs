//! CSIStorageCapacity: how much space a storage class has in a part of the cluster.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::path("StorageClassName", "storageClassName"),
        Column::path_or("Capacity", "capacity", "<unset>"),
    ],
    ..ResourceDef::namespaced(
        "storage.k8s.io",
        "CSIStorageCapacity",
        "csistoragecapacities",
        "csistoragecapacity",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSIStorageCapacity")],
    )
};
