//! One stored object: its canonical JSON, and what has been read from it so far.
//!
//! The bytes are the truth. Metadata and the loops' view are deserialised from them on first use
//! and kept as long as this revision lives; two readers never parse the same revision twice.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::key::{Key, Revision};
use super::meta::Meta;
use super::tree::Tree;

/// A shared object; every map, queue and watch event holds this one allocation.
pub type ObjectRef = Arc<Object>;

pub struct Object {
    key: Key,
    revision: Revision,
    bytes: Bytes,
    meta: OnceLock<Box<Meta>>,
    view: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// A partial typed reading of one resource's objects: only the fields that loops use.
///
/// Each resource has one view type, shared by all loops, so that each revision is parsed once.
/// Unknown fields are ignored and missing ones take their `Default`.
pub trait View: serde::de::DeserializeOwned + Default + Send + Sync + 'static {
    /// `resource.group`, as in [`Key::resource`].
    const RESOURCE: &'static str;
}

impl Object {
    /// An object whose canonical JSON in its storage version is `bytes`, with the
    /// `metadata.resourceVersion` of `revision` already inside.
    pub fn new(key: Key, revision: Revision, bytes: Bytes) -> ObjectRef {
        Arc::new(Self { key, revision, bytes, meta: OnceLock::new(), view: OnceLock::new() })
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The revision of the write that made this state of the object.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The object's metadata. Bytes that hold none (which only damage can cause) read as empty.
    pub fn meta(&self) -> &Meta {
        self.meta.get_or_init(|| Box::new(Meta::from_json(&self.bytes).unwrap_or_default()))
    }

    /// The object as `V`, parsed once for this revision.
    ///
    /// An object that does not fit its view reads as the view's default: the API validated it
    /// against the same schema, so this can only be a view that asks for too much, which is a bug
    /// that tests catch by panicking here in debug builds.
    pub fn view<V: View>(&self) -> &V {
        debug_assert_eq!(self.key.resource(), V::RESOURCE, "view of another resource");
        let view = self.view.get_or_init(|| {
            let parsed = serde_json::from_slice::<V>(&self.bytes);
            debug_assert!(parsed.is_ok(), "{}: {:?}", self.key, parsed.err());
            Box::new(parsed.unwrap_or_default())
        });
        view.downcast_ref::<V>().expect("a resource has one view type")
    }

    /// The object as a tree that can be changed.
    pub fn tree(&self) -> Tree {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.revision)
    }
}
