//! PodDisruptionBudget: how many pods of a set may be taken away on purpose at once.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pdb"],
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "policy",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        &[Version::on("v1", "io.k8s.api.policy.v1.PodDisruptionBudget")],
    )
};
