//! StorageObjectInUseProtection: volumes and claims outlive their users.

use super::service_account::push;
use super::{Attributes, Plugin};
use crate::object::Status;
use crate::object::tree::{Tree, TreePath};

const PROTECTED: &[(&str, &str)] = &[
    ("persistentvolumes", "kubernetes.io/pv-protection"),
    ("persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("volumeattributesclasses.storage.k8s.io", "kubernetes.io/vac-protection"),
];

pub struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn admit(&self, on: &Attributes<'_>, object: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if let Some((_, finalizer)) = PROTECTED.iter().find(|(resource, _)| on.creates(resource)) {
            if !object.items("metadata.finalizers").iter().any(|present| present == finalizer) {
                push(object, "metadata.finalizers", (*finalizer).into());
            }
        }
        Ok(())
    }
}
