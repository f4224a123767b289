//! Stored roles and bindings, as authorisation reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::authz::Policies;
use crate::object::{GroupResource, ObjectRef};
use crate::store::{KeyRange, Store};

/// The group whose objects decide who may do what.
pub const GROUP: &str = "rbac.authorization.k8s.io";

pub struct Stored {
    pub store: Store,
    /// Raised after each write of the group.
    pub version: Arc<AtomicU64>,
}

impl Policies for Stored {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn list(&self, resource: &str) -> Vec<ObjectRef> {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        self.store.state().range(&KeyRange::resource(&GroupResource::new(group, plural))).cloned().collect()
    }
}
