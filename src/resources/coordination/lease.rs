//! Lease: who holds a lock, and since when.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::path("Holder", "spec.holderIdentity"), Column::AGE],
    rules: &Lease,
    ..ResourceDef::namespaced(
        "coordination.k8s.io",
        "Lease",
        "leases",
        "lease",
        &[Version::on("v1", "io.k8s.api.coordination.v1.Lease")],
    )
};

pub struct Lease;

impl Rules for Lease {
    fn prepare_create(&self, new: &mut Tree) {
        drop_coordinated(new);
    }

    fn prepare_update(&self, new: &mut Tree, _old: &Tree) {
        drop_coordinated(new);
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        spec.child("leaseDurationSeconds").positive(errors);
        spec.child("leaseTransitions").nonnegative(errors);
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

/// Coordinated election is off by default upstream.
fn drop_coordinated(lease: &mut Tree) {
    lease.unset("spec.strategy");
    lease.unset("spec.preferredHolder");
}
