//! Objects as loops see them.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::object::view::Pod;
use crate::object::{Key, Meta, ObjectRef, View};

/// An object as a snapshot has it: its view, and its metadata. Cheap to clone.
pub struct Seen<V> {
    object: ObjectRef,
    /// Held from the first look on, so that it is the same one for all who share this.
    view: OnceLock<Arc<V>>,
}

impl<V: View> Seen<V> {
    /// Reads `object` as `V`; `None` if it is of another resource.
    pub fn new(object: &ObjectRef) -> Option<Self> {
        (object.key().resource() == V::RESOURCE).then(|| Self::of(object.clone()))
    }
}

impl<V> Seen<V> {
    fn of(object: ObjectRef) -> Self {
        Self { object, view: OnceLock::new() }
    }

    /// The same, which holds nothing but the object until its view is read: for keeping.
    pub fn unread(&self) -> Self {
        Self::of(self.object.clone())
    }

    pub fn object(&self) -> &ObjectRef {
        &self.object
    }

    pub fn key(&self) -> &Key {
        self.object.key()
    }

    pub fn meta(&self) -> &Meta {
        self.object.meta()
    }

    pub fn name(&self) -> &str {
        self.object.key().name()
    }

    pub fn namespace(&self) -> &str {
        self.object.key().namespace()
    }

    pub fn uid(&self) -> &str {
        self.object.meta().uid()
    }

    pub fn is_deleting(&self) -> bool {
        self.object.meta().is_deleting()
    }
}

impl Seen<Pod> {
    /// Neither finished nor being deleted.
    pub fn is_active(&self) -> bool {
        !self.is_terminal() && !self.is_deleting()
    }
}

impl<V: View> Deref for Seen<V> {
    type Target = V;
    fn deref(&self) -> &V {
        self.view.get_or_init(|| self.object.view::<V>())
    }
}

impl<V> Clone for Seen<V> {
    fn clone(&self) -> Self {
        Self { object: self.object.clone(), view: self.view.clone() }
    }
}

impl<V> std::fmt::Debug for Seen<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.object.fmt(f)
    }
}
