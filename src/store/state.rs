//! All current objects at one revision, in an ordered map whose clones are free.

use std::ops::Bound;

use imbl::OrdMap;

use super::KeyRange;
use crate::object::{Key, ObjectRef, Revision};

/// Where in the replicated log a state stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub index: u64,
    pub term: u64,
}

/// Every object at one revision. Cloning shares the map.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(super) objects: OrdMap<Key, ObjectRef>,
    pub(super) revision: Revision,
    /// The last log entry whose writes are in here.
    pub(super) position: Position,
    /// Revisions up to here may have been shown to clients without being in the log.
    pub(super) reserved: Revision,
    pub(super) object_bytes: u64,
}

impl State {
    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// Revisions up to here may have been shown to somebody.
    pub(super) fn reserved(&self) -> Revision {
        self.reserved
    }

    pub fn get(&self, key: &Key) -> Option<&ObjectRef> {
        self.objects.get(key)
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The length of all objects together.
    pub fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// The objects in `keys`, ordered by key.
    pub fn range<'a>(&'a self, keys: &'a KeyRange) -> impl Iterator<Item = &'a ObjectRef> + 'a {
        self.from(keys, Bound::Included(keys.as_str()))
    }

    /// The objects in `keys` behind `after`, which itself need not exist: the next page of a list.
    pub fn range_after<'a>(&'a self, keys: &'a KeyRange, after: &'a Key) -> impl Iterator<Item = &'a ObjectRef> + 'a {
        self.from(keys, Bound::Excluded(after.as_str().max(keys.as_str())))
    }

    fn from<'a>(&'a self, keys: &'a KeyRange, start: Bound<&'a str>) -> impl Iterator<Item = &'a ObjectRef> + 'a {
        let range = self.objects.range::<(Bound<&str>, Bound<&str>), str>((start, Bound::Unbounded));
        range
            .take_while(|(key, _)| key.as_str().starts_with(keys.as_str()))
            .map(|(_, object)| object)
            .filter(|object| keys.contains(object.key()))
    }

    pub(super) fn put(&mut self, object: ObjectRef) -> Option<ObjectRef> {
        self.object_bytes += object.bytes().len() as u64;
        let previous = self.objects.insert(object.key().clone(), object);
        self.object_bytes -= previous.as_ref().map_or(0, |old| old.bytes().len() as u64);
        previous
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<ObjectRef> {
        let previous = self.objects.remove(key);
        self.object_bytes -= previous.as_ref().map_or(0, |old| old.bytes().len() as u64);
        previous
    }
}
