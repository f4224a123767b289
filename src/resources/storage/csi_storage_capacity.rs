//! CSIStorageCapacity: how much space a storage class has in a part of the cluster.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::namespaced(
        "storage.k8s.io",
        "CSIStorageCapacity",
        "csistoragecapacities",
        "csistoragecapacity",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSIStorageCapacity")],
    )
};
