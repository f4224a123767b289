//! A state that the log can be continued from, and how it is written down.
//!
//! A snapshot holds a [`Summary`] and one record for each object. The summary's
//! checksum covers all records in any order, so that a lost or stale one is found. Of a sealed object
//! it covers key and revision, which its seal is bound to: a sum over the rest would tell something.

use bytes::Bytes;

use super::raft::Members;
use super::state::{Position, State};
use super::wire::{Reader, WireError, checksum, put_bytes, put_u64};
use crate::base::seal::{NoSeal, Seal, SealError, SealRef};
use crate::object::{Key, Object, ObjectRef, Revision};

const WHAT: &str = "the summary of a snapshot";
const VERSION: u64 = 1;

/// A state and the members of the cluster at the same place of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    pub state: State,
    pub members: Members,
}

/// What a snapshot says of itself.
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
pub(super) struct Loader {
    state: State,
    sum: u64,
    seal: SealRef,
}

impl Loader {
    /// For records of which the sealed ones are opened with `seal`.
    pub fn new(seal: SealRef) -> Self {
        Self { state: State::default(), sum: 0, seal }
    }

    /// For records that are not sealed.
    pub fn of_plain() -> Self {
        Self::new(NoSeal::shared())
    }

    /// Tells the key of the record's object.
    pub fn add(&mut self, record: &[u8]) -> Result<Key, WireError> {
        let (object, sum) = match record {
            [SEALED, rest @ ..] => open_object(rest, &*self.seal)?,
            plain => (decode_object(plain)?, checksum(plain)),
        };
        self.sum = self.sum.wrapping_add(sum.into());
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
            return Err(WireError::Checksum { what: "a snapshot as a whole" });
        }
        self.state.revision = summary.revision;
        self.state.position = summary.position;
        self.state.reserved = summary.reserved;
        Ok(Base { state: self.state, members: summary.members })
    }
}

/// What a sealed record begins with; any other begins with the length of its key.
const SEALED: u8 = 0;

/// An object as it is written down, and what it adds to the summary's sum.
pub(super) fn encode_record(object: &Object, seal: &dyn Seal) -> Result<(Vec<u8>, u64), SealError> {
    if !seal.covers(object.key().resource()) {
        let record = encode_object(object);
        let sum = checksum(&record).into();
        return Ok((record, sum));
    }
    let context = context_of(object.key(), object.revision());
    let mut plain = Vec::with_capacity(object.bytes().len() + 4);
    put_u64(&mut plain, object.revision_at().into());
    plain.extend_from_slice(object.bytes());
    let sealed = seal.seal(object.key().resource(), &plain, &context)?;
    let mut record = vec![SEALED];
    record.extend_from_slice(&context);
    put_bytes(&mut record, &sealed);
    Ok((record, checksum(&context).into()))
}

fn context_of(key: &Key, revision: Revision) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.as_str().len() + 12);
    put_bytes(&mut out, key.as_str().as_bytes());
    put_u64(&mut out, revision.0);
    out
}

fn open_object(record: &[u8], seal: &dyn Seal) -> Result<(ObjectRef, u32), WireError> {
    const WHAT: &str = "an encrypted object";
    let mut reader = Reader::new(WHAT, record);
    let (key, revision) = (decode_key(&mut reader)?, Revision(reader.u64()?));
    let context = context_of(&key, revision);
    let plain = seal.open(reader.bytes()?, &context).map_err(|source| WireError::Sealed { what: WHAT, source })?;
    let mut reader = Reader::new(WHAT, &plain);
    let revision_at = reader.u32()?;
    let bytes = Bytes::copy_from_slice(reader.take(reader.remaining())?);
    Ok((Object::with_revision_at(key, revision, bytes, revision_at), checksum(&context)))
}

fn decode_key(reader: &mut Reader<'_>) -> Result<Key, WireError> {
    let text = reader.text()?;
    Key::parse(text).ok_or_else(|| reader.value(text.len() as u64))
}

pub(super) fn encode_object(object: &Object) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.key().as_str().len() + object.bytes().len() + 24);
    put_bytes(&mut out, object.key().as_str().as_bytes());
    put_u64(&mut out, object.revision().0);
    put_u64(&mut out, object.revision_at().into());
    put_bytes(&mut out, object.bytes());
    out
}

pub(super) fn decode_object(record: &[u8]) -> Result<ObjectRef, WireError> {
    let mut reader = Reader::new("a stored object", record);
    let key = decode_key(&mut reader)?;
    let (revision, revision_at) = (Revision(reader.u64()?), reader.u32()?);
    let bytes = Bytes::copy_from_slice(reader.bytes()?);
    Ok(Object::with_revision_at(key, revision, bytes, revision_at))
}
