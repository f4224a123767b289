//! Lease: who holds a lock, and since when.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::path("Holder", "spec.holderIdentity"), Column::AGE],
    ..ResourceDef::namespaced(
        "coordination.k8s.io",
        "Lease",
        "leases",
        "lease",
        &[Version::on("v1", "io.k8s.api.coordination.v1.Lease")],
    )
};
