//! LeaseCandidate: who would like to hold a lease.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
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
