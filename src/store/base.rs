//! A state that the log can be continued from, and how it is written down.
//!
//! Checkpoint and snapshot hold the same: a [`Summary`] and one record for each object. The summary's
//! checksum covers all records in any order, so that a lost or stale one is found.

use bytes::Bytes;

use super::raft::Members;
use super::state::{Position, State};
use super::wire::{Reader, WireError, checksum, put_bytes, put_u64};
use crate::object::{Key, Object, ObjectRef, Revision};

const WHAT: &str = "the summary of a checkpoint";
const VERSION: u64 = 1;

/// A state and the members of the cluster at the same place of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    pub state: State,
    pub members: Members,
}

/// What a checkpoint says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    pub revision: Revision,
    pub position: Position,
    pub reserved: Revision,
    pub members: Members,
    pub objects: u64,
    /// The wrapping sum of the records' checksums.
    pub sum: u64,
}

impl Summary {
    /// Of `base`, whose records have the checksums that add up to `sum`.
    pub fn of(base: &Base, sum: u64) -> Self {
        let state = &base.state;
        Self {
            revision: state.revision,
            position: state.position,
            reserved: state.reserved,
            members: base.members.clone(),
            objects: state.len() as u64,
            sum,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let numbers = [VERSION, self.revision.0, self.position.index, self.position.term, self.reserved.0];
        numbers.into_iter().chain([self.objects, self.sum]).for_each(|number| put_u64(&mut out, number));
        self.members.encode(&mut out);
        out.extend_from_slice(&checksum(&out).to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(WireError::Short { what: WHAT })?;
        if checksum(body).to_le_bytes() != *sum {
            return Err(WireError::Checksum { what: WHAT });
        }
        let mut reader = Reader::new(WHAT, body);
        let version = reader.u64()?;
        if version > VERSION {
            return Err(WireError::Version { what: WHAT, found: version, known: VERSION });
        }
        let revision = Revision(reader.u64()?);
        let position = Position { index: reader.u64()?, term: reader.u64()? };
        let reserved = Revision(reader.u64()?);
        let (objects, sum) = (reader.u64()?, reader.u64()?);
        Ok(Self { revision, position, reserved, objects, sum, members: Members::decode(&mut reader)? })
    }
}

/// Puts a state together from records and compares it with its summary.
#[derive(Default)]
pub(super) struct Loader {
    state: State,
    sum: u64,
}

impl Loader {
    /// Tells the key of the record's object.
    pub fn add(&mut self, record: &[u8]) -> Result<Key, WireError> {
        self.sum = self.sum.wrapping_add(checksum(record).into());
        let object = decode_object(record)?;
        let key = object.key().clone();
        self.state.put(object);
        Ok(key)
    }

    /// As [`Loader::finish`], of a summary whose maker did not add the checksums up.
    pub fn finish_unsummed(self, summary: Summary) -> Result<Base, WireError> {
        let sum = self.sum;
        self.finish(Summary { sum, ..summary })
    }

    pub fn finish(mut self, summary: Summary) -> Result<Base, WireError> {
        if (self.sum, self.state.len() as u64) != (summary.sum, summary.objects) {
            return Err(WireError::Checksum { what: "a checkpoint as a whole" });
        }
        self.state.revision = summary.revision;
        self.state.position = summary.position;
        self.state.reserved = summary.reserved;
        Ok(Base { state: self.state, members: summary.members })
    }
}

pub(super) fn encode_object(object: &Object) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.key().as_str().len() + object.bytes().len() + 24);
    put_bytes(&mut out, object.key().as_str().as_bytes());
    put_u64(&mut out, object.revision().0);
    put_u64(&mut out, object.revision_at().into());
    put_bytes(&mut out, object.bytes());
    out
}

fn decode_object(record: &[u8]) -> Result<ObjectRef, WireError> {
    let mut reader = Reader::new("a stored object", record);
    let text = reader.text()?;
    let key = Key::parse(text).ok_or_else(|| reader.value(text.len() as u64))?;
    let (revision, revision_at) = (Revision(reader.u64()?), reader.u32()?);
    let bytes = Bytes::copy_from_slice(reader.bytes()?);
    Ok(Object::with_revision_at(key, revision, bytes, revision_at))
}
