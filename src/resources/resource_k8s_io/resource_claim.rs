//! ResourceClaim: a request for devices.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[Column::NAME, Column::with("State", state), Column::AGE],
    ..ResourceDef::namespaced(
        "resource.k8s.io",
        "ResourceClaim",
        "resourceclaims",
        "resourceclaim",
        &[
            Version::on("v1", "io.k8s.api.resource.v1.ResourceClaim"),
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.ResourceClaim"),
            Version::off("v1beta1", "io.k8s.api.resource.v1beta1.ResourceClaim"),
        ],
    )
};

fn state(object: &Tree) -> Tree {
    let deleted = object.has("metadata.deletionTimestamp");
    let mut states = Vec::new();
    if deleted {
        states.push("deleted");
    }
    if object.has("status.allocation") {
        states.push("allocated");
        if !object.items("status.reservedFor").is_empty() {
            states.push("reserved");
        }
    } else if !deleted {
        states.push("pending");
    }
    states.join(",").into()
}
