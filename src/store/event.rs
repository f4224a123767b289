//! One change of one object, shared by the history and every watcher.

use std::sync::{Arc, OnceLock};

use crate::object::{Key, ObjectRef, Revision};

pub type EventRef = Arc<Event>;

/// A change of one object.
#[derive(Debug)]
pub struct Event {
    revision: Revision,
    object: Option<ObjectRef>,
    previous: Option<ObjectRef>,
    /// The last state with the revision of its deletion: made for the first watcher that asks.
    last: OnceLock<ObjectRef>,
}

/// What a change did, borrowed from its [`Event`].
#[derive(Clone, Copy, Debug)]
pub enum EventKind<'a> {
    Put {
        object: &'a ObjectRef,
        previous: Option<&'a ObjectRef>,
    },
    /// `object` is the last state, its resourceVersion that of the deletion.
    Delete {
        object: &'a ObjectRef,
        previous: &'a ObjectRef,
    },
}

impl Event {
    pub(super) fn put(object: ObjectRef, previous: Option<ObjectRef>) -> EventRef {
        let revision = object.revision();
        Arc::new(Self { revision, object: Some(object), previous, last: OnceLock::new() })
    }

    pub(super) fn delete(revision: Revision, previous: ObjectRef) -> EventRef {
        Arc::new(Self { revision, object: None, previous: Some(previous), last: OnceLock::new() })
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn key(&self) -> &Key {
        self.subject().key()
    }

    pub fn kind(&self) -> EventKind<'_> {
        match (&self.object, &self.previous) {
            (Some(object), previous) => EventKind::Put { object, previous: previous.as_ref() },
            (None, Some(previous)) => EventKind::Delete { object: self.object(), previous },
            (None, None) => unreachable!("an event has an object: put or delete made it"),
        }
    }

    /// What a watcher is told: the new state, or the last one as of the deletion's revision.
    pub fn object(&self) -> &ObjectRef {
        match &self.object {
            Some(object) => object,
            None => self.last.get_or_init(|| self.subject().at_revision(self.revision)),
        }
    }

    pub fn previous(&self) -> Option<&ObjectRef> {
        self.previous.as_ref()
    }

    pub fn is_delete(&self) -> bool {
        self.object.is_none()
    }

    fn subject(&self) -> &ObjectRef {
        self.object.as_ref().or(self.previous.as_ref()).expect("an event has an object: put or delete made it")
    }

    /// Memory that only this event keeps alive, about: the object that it replaced.
    pub(super) fn cost(&self) -> usize {
        const EVENT_AND_OBJECT: usize = 320;
        EVENT_AND_OBJECT + self.previous.as_ref().map_or(0, |old| old.bytes().len())
    }
}
