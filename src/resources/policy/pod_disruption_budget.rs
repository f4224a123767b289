//! PodDisruptionBudget: how many pods of a set may be taken away on purpose at once.

use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pdb"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path_or("Min Available", "spec.minAvailable", "N/A"),
        Column::path_or("Max Unavailable", "spec.maxUnavailable", "N/A"),
        Column::number("Allowed Disruptions", "status.disruptionsAllowed"),
        Column::AGE,
    ],
    ..ResourceDef::namespaced(
        "policy",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        &[Version::on("v1", "io.k8s.api.policy.v1.PodDisruptionBudget")],
    )
};
