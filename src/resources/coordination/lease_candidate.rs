//! LeaseCandidate: who would like to hold a lease.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::path("LeaseName", "spec.leaseName"),
        Column::path("BinaryVersion", "spec.binaryVersion"),
        Column::path("EmulationVersion", "spec.emulationVersion"),
        Column::AGE,
    ],
    ..ResourceDef::namespaced(
        "coordination.k8s.io",
        "LeaseCandidate",
        "leasecandidates",
        "leasecandidate",
        &[
            Version::off("v1beta1", "io.k8s.api.coordination.v1beta1.LeaseCandidate"),
            Version::off("v1alpha2", "io.k8s.api.coordination.v1alpha2.LeaseCandidate"),
        ],
    )
};
