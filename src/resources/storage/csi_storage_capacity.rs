//! CSIStorageCapacity: how much space a storage class has in a part of the cluster.

use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::{At, immutable};
use crate::resources::{ResourceDef, Rules, Version};
use crate::resources::{labels, names, quantities};

pub static DEF: ResourceDef = ResourceDef {
    rules: &CSIStorageCapacity,
    ..ResourceDef::namespaced(
        "storage.k8s.io",
        "CSIStorageCapacity",
        "csistoragecapacities",
        "csistoragecapacity",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSIStorageCapacity")],
    )
};

pub struct CSIStorageCapacity;

impl Rules for CSIStorageCapacity {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            immutable(errors, new, old, "nodeTopology");
            immutable(errors, new, old, "storageClassName");
        }
        let root = At::root(new);
        labels::check_selector(&root.child("nodeTopology"), errors);
        let class = root.child("storageClassName");
        class.format(errors, names::is_dns1123_subdomain(class.str()));
        for field in ["capacity", "maximumVolumeSize"] {
            if root.child(field).exists() {
                quantities::check_not_negative(&root.child(field), errors);
            }
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}
