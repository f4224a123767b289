//! PersistentVolumeClaimResize: only a bound claim grows, and only if its class allows it.

use super::{Attributes, Operation, Plugin};
use crate::object::tree::{Tree, TreePath};
use crate::object::{Quantity, Status};

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn validate(&self, on: &Attributes<'_>, claim: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        let (Some(claim), Some(old)) = (claim, on.old) else { return Ok(()) };
        if on.operation != Operation::Update || !on.is("persistentvolumeclaims") || size(claim) <= size(old) {
            return Ok(());
        }
        if old.text("status.phase") != "Bound" {
            return Err(on.forbidden(claim, "Only bound persistent volume claims can be expanded"));
        }
        if !may_grow(on, class(claim), class(old)) {
            let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc \
                       must support resize";
            return Err(on.forbidden(claim, why));
        }
        Ok(())
    }
}

fn size(claim: &Tree) -> Quantity {
    Quantity::parse(claim.text("spec.resources.requests.storage")).unwrap_or(Quantity::ZERO)
}

fn class(claim: &Tree) -> &str {
    let noted = claim.map("metadata.annotations").and_then(|notes| notes.get(BETA_CLASS)).and_then(Tree::as_str);
    noted.unwrap_or_else(|| claim.text("spec.storageClassName"))
}

fn may_grow(on: &Attributes<'_>, class: &str, before: &str) -> bool {
    !class.is_empty()
        && class == before
        && on
            .get("storageclasses.storage.k8s.io", "", class)
            .is_some_and(|class| class.tree().flag("allowVolumeExpansion") == Some(true))
}
