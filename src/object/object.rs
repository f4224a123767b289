//! One stored object: its canonical JSON, and what has been read from it so far.
//!
//! The bytes are the truth. Metadata is read from them on first use and kept as long as this revision
//! lives; the loops' view is kept while it is read often (see [`super::views`]).

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::key::{Key, Revision};
use super::meta::Meta;
use super::tree::Tree;
use super::views::Held;

/// A shared object; every map, queue and watch event holds this one allocation.
pub type ObjectRef = Arc<Object>;

pub struct Object {
    key: Key,
    revision: Revision,
    /// Where the digits of `revision` stand in `bytes`; zero when nobody knows.
    revision_at: u32,
    bytes: Bytes,
    meta: OnceLock<Box<Meta>>,
    view: OnceLock<Arc<Held>>,
}

/// A partial typed reading of one resource's objects: only the fields that loops use.
///
/// Each resource has one view type, shared by all loops, so that they share what was parsed.
/// Unknown fields are ignored and missing ones take their `Default`.
pub trait View: serde::de::DeserializeOwned + Default + Send + Sync + 'static {
    /// `resource.group`, as in [`Key::resource`].
    const RESOURCE: &'static str;
}

impl Object {
    /// An object whose canonical JSON in its storage version is `bytes`, with the
    /// `metadata.resourceVersion` of `revision` already inside.
    pub fn new(key: Key, revision: Revision, bytes: Bytes) -> ObjectRef {
        Self::with_revision_at(key, revision, bytes, 0)
    }

    /// As [`Object::new`], where the digits of `revision` are known to begin at `revision_at`.
    pub fn with_revision_at(key: Key, revision: Revision, bytes: Bytes, revision_at: u32) -> ObjectRef {
        Arc::new(Self { key, revision, revision_at, bytes, meta: OnceLock::new(), view: OnceLock::new() })
    }

    /// An object from JSON that lacks only the digits of its revision, which belong at `revision_at`.
    pub fn spliced(key: Key, revision: Revision, bytes: &[u8], revision_at: u32) -> ObjectRef {
        let (before, after) = bytes.split_at(bytes.len().min(revision_at as usize));
        let digits = revision.to_string();
        let spliced = [before, digits.as_bytes(), after].concat();
        Self::with_revision_at(key, revision, spliced.into(), revision_at)
    }

    /// The same state as of another revision; a deleted object is told to watchers with the revision
    /// of its deletion.
    pub fn at_revision(&self, revision: Revision) -> ObjectRef {
        let at = self.revision_at as usize;
        let end = at + self.revision.to_string().len();
        if at == 0 || end > self.bytes.len() {
            return Self::new(self.key.clone(), revision, self.bytes.clone());
        }
        let without = [&self.bytes[..at], &self.bytes[end..]].concat();
        Self::spliced(self.key.clone(), revision, &without, self.revision_at)
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The revision of the write that made this state of the object.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Where the digits of the revision begin in [`Object::bytes`]; zero when unknown.
    pub fn revision_at(&self) -> u32 {
        self.revision_at
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The object's metadata. Bytes that hold none (which only damage can cause) read as empty.
    pub fn meta(&self) -> &Meta {
        self.meta.get_or_init(|| Box::new(Meta::from_json(&self.bytes).unwrap_or_default()))
    }

    /// The object as `V`, parsed unless it was read lately.
    ///
    /// An object that does not fit its view reads as the view's default: the API validated it
    /// against the same schema, so this can only be a view that asks for too much, which is a bug
    /// that tests catch by panicking here in debug builds.
    pub fn view<V: View>(&self) -> Arc<V> {
        debug_assert_eq!(self.key.resource(), V::RESOURCE, "view of another resource");
        let view = self.view.get_or_init(Arc::default).get(|| {
            let parsed = serde_json::from_slice::<V>(&self.bytes);
            debug_assert!(parsed.is_ok(), "{}: {:?}", self.key, parsed.err());
            Arc::new(parsed.unwrap_or_default())
        });
        view.downcast().expect("a resource has one view type")
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
