//! What can be asked of the store, and what it answers.
//!
//! A [`Command`] is a group of writes that happen together at one revision, or not at all. Everything
//! random or timed in them was chosen before: applying a command twice to equal states gives equal
//! states.

use bytes::Bytes;

use crate::object::{Key, Object, ObjectRef, Revision};

/// The largest object, as upstream's default request limit of etcd.
pub const OBJECT_BYTES_MAX: usize = 1_572_864;
/// The most writes one command may hold: etcd by default takes 128 operations at once, and some are ours.
pub const COMMAND_WRITES_MAX: usize = 120;
/// The largest command: a few of the largest objects.
pub const COMMAND_BYTES_MAX: usize = 4 * OBJECT_BYTES_MAX;
/// The longest text form of a key: resource, namespace and name at their limits.
pub const KEY_BYTES_MAX: usize = 1_024;

/// Writes that are applied together at one revision, or refused together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command {
    pub writes: Vec<Write>,
    /// Refused unless this is the raft term in which it was proposed: writes of a deposed leader's
    /// loops must fail.
    pub term: Option<u64>,
    /// May be lost in a crash: renewals of node leases and what is equally disposable. Applied in
    /// memory without touching the disk when nothing else is being written. Holds only for
    /// overwriting objects that exist; everything else is durable anyway.
    pub volatile: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub key: Key,
    pub expect: Expect,
    pub action: Action,
}

/// What must be true of the key's present object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    Present,
    Revision(Revision),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Put(Payload),
    /// Of a key that holds nothing, fails whatever was expected.
    Delete,
}

/// An object's canonical JSON with a hole: the digits of its revision belong at `revision_at`, between
/// the quotes of `"resourceVersion":""`.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    pub bytes: Bytes,
    pub revision_at: u32,
}

/// What became of a command.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// For each write the object it made, or for a deletion the last state as of `revision`.
    Committed { revision: Revision, objects: Vec<ObjectRef> },
    /// The write at `index` did not find what it expected; nothing was written.
    Failed { index: usize, current: Option<ObjectRef> },
    /// The command was meant for another term; nothing was written.
    Deposed { term: u64 },
}

/// A command that no store would take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("a command of {len} writes is over the limit of {COMMAND_WRITES_MAX}, or empty")]
    Writes { len: usize },
    #[error("object {key} of {len} bytes is over the limit of {OBJECT_BYTES_MAX}")]
    ObjectTooLarge { key: Key, len: usize },
    #[error("a command of {len} bytes is over the limit of {COMMAND_BYTES_MAX}")]
    TooLarge { len: usize },
    #[error("a key of {len} bytes is over the limit of {KEY_BYTES_MAX}, or has not three parts")]
    Key { len: usize },
    #[error("object {key} has no place for its revision")]
    NoRevision { key: Key },
}

impl Command {
    pub fn new(writes: Vec<Write>) -> Self {
        Self { writes, term: None, volatile: false }
    }

    /// Writes the object when its key holds nothing.
    pub fn create(key: Key, payload: Payload) -> Self {
        Self::new(vec![Write { key, expect: Expect::Absent, action: Action::Put(payload) }])
    }

    /// Replaces the object that was last written at `revision`.
    pub fn update(key: Key, revision: Revision, payload: Payload) -> Self {
        Self::new(vec![Write { key, expect: Expect::Revision(revision), action: Action::Put(payload) }])
    }

    /// Removes the object that was last written at `revision`.
    pub fn delete(key: Key, revision: Revision) -> Self {
        Self::new(vec![Write { key, expect: Expect::Revision(revision), action: Action::Delete }])
    }

    pub fn in_term(self, term: u64) -> Self {
        Self { term: Some(term), ..self }
    }

    pub fn volatile(self) -> Self {
        Self { volatile: true, ..self }
    }

    /// Checks the limits.
    pub fn check(&self) -> Result<(), CommandError> {
        if self.writes.is_empty() || self.writes.len() > COMMAND_WRITES_MAX {
            return Err(CommandError::Writes { len: self.writes.len() });
        }
        self.writes.iter().try_for_each(Write::check)?;
        let len = self.writes.iter().map(Write::size).sum();
        if len > COMMAND_BYTES_MAX { Err(CommandError::TooLarge { len }) } else { Ok(()) }
    }
}

impl Write {
    pub(super) fn size(&self) -> usize {
        let object = match &self.action {
            Action::Put(payload) => payload.bytes.len(),
            Action::Delete => 0,
        };
        self.key.as_str().len() + object
    }

    fn check(&self) -> Result<(), CommandError> {
        let text = self.key.as_str();
        if text.len() > KEY_BYTES_MAX || text.matches('/').count() != 2 {
            return Err(CommandError::Key { len: text.len() });
        }
        let Action::Put(payload) = &self.action else { return Ok(()) };
        let len = payload.bytes.len();
        if len > OBJECT_BYTES_MAX {
            return Err(CommandError::ObjectTooLarge { key: self.key.clone(), len });
        }
        match (1..=len).contains(&(payload.revision_at as usize)) {
            true => Ok(()),
            false => Err(CommandError::NoRevision { key: self.key.clone() }),
        }
    }
}

impl Payload {
    /// What a stored object was made of.
    pub(super) fn of_object(object: &Object) -> Self {
        let (bytes, at) = (object.bytes(), object.revision_at() as usize);
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        Self { bytes: [&bytes[..at], &bytes[at + digits..]].concat().into(), revision_at: object.revision_at() }
    }

    /// JSON in which `"resourceVersion":""` is the first of its name and empty.
    ///
    /// For callers that made the text themselves; encoders that know the place set it directly.
    pub fn find(bytes: impl Into<Bytes>) -> Option<Self> {
        const HOLE: &[u8] = b"\"resourceVersion\":\"\"";
        let bytes = bytes.into();
        let at = bytes.windows(HOLE.len()).position(|window| window == HOLE)?;
        Some(Self { revision_at: u32::try_from(at + HOLE.len() - 1).ok()?, bytes })
    }
}
