//! ResourceClaim: a request for devices.

use super::{claim_checks, default_requests};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[Column::NAME, Column::with("State", state), Column::AGE],
    rules: &ResourceClaim,
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

pub struct ResourceClaim;

impl Rules for ResourceClaim {
    fn default(&self, new: &mut Tree) {
        default_requests(new, "spec.devices.requests");
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        match old {
            Some(old) => immutable(errors, new, old, "spec"),
            None => claim_checks::check(&At::root(new).child("spec.devices"), errors),
        }
    }
}
