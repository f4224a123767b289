//! Older history, packed: events of much the same objects take a tenth of their space, and are seldom read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::base::{decode_object, encode_object};
use super::event::{Event, EventRef};
use super::ring::Record;
use super::state::Position;
use super::wire::{Reader, WireError, put_bytes, put_u64};
use crate::object::{Key, ObjectRef, Revision};

const WHAT: &str = "packed history";

/// About how many bytes are packed together: more than the packer looks back would make nothing smaller.
pub(super) const PACK_BYTES: usize = 256 << 10;

/// Events in order, whole log entries of them.
#[derive(Debug)]
pub(super) struct Pack {
    bytes: Box<[u8]>,
    /// Of the last event.
    pub revision: Revision,
    pub position: Position,
    /// When the first and the last were recorded.
    pub since: Duration,
    pub until: Duration,
    pub events: usize,
    /// What the events cost before they were packed.
    pub cost: usize,
}

impl Pack {
    /// Of `records`; `None` of nothing.
    pub fn of(records: &[Record]) -> Option<Self> {
        let (first, last) = (records.first()?, records.last()?);
        let mut out = Vec::with_capacity(PACK_BYTES);
        let mut here = BTreeMap::new();
        records.iter().for_each(|record| encode(&mut out, record, &mut here));
        Some(Self {
            bytes: lz4_flex::compress_prepend_size(&out).into(),
            revision: last.event.revision(),
            position: last.position,
            since: first.at,
            until: last.at,
            events: records.len(),
            cost: records.iter().map(|record| record.event.cost()).sum(),
        })
    }

    /// Bytes it takes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn events(&self) -> Result<Vec<EventRef>, WireError> {
        let raw = lz4_flex::decompress_size_prepended(&self.bytes).map_err(|_| WireError::Short { what: WHAT })?;
        let mut reader = Reader::new(WHAT, &raw);
        let mut here = BTreeMap::new();
        (0..self.events).map(|_| decode(&mut reader, &mut here)).collect()
    }
}

/// What is written of an event: whether it put an object, and where the object before it is to be found.
mod flag {
    pub(super) const PUT: u8 = 1;
    /// The object before is written too.
    pub(super) const BEFORE: u8 = 2;
    /// The object before is that of an earlier event of the same pack.
    pub(super) const HERE: u8 = 4;
}

/// About how many bytes [`Pack::of`] writes for `event`.
pub(super) fn raw_len(event: &Event) -> usize {
    let object = if event.is_delete() { 0 } else { event.object().bytes().len() };
    object + event.previous().map_or(0, |before| before.bytes().len())
}

fn encode<'a>(out: &mut Vec<u8>, record: &'a Record, here: &mut BTreeMap<&'a Key, Revision>) {
    let event = &record.event;
    let known = event.previous().is_some_and(|before| here.get(before.key()) == Some(&before.revision()));
    let before = event.previous().filter(|_| !known);
    let object = (!event.is_delete()).then(|| event.object());
    let flags = [(object.is_some(), flag::PUT), (before.is_some(), flag::BEFORE), (known, flag::HERE)];
    out.push(flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum());
    put_bytes(out, event.key().as_str().as_bytes());
    put_u64(out, event.revision().0);
    before.into_iter().chain(object).for_each(|object| put_bytes(out, &encode_object(object)));
    match object {
        Some(object) => here.insert(object.key(), object.revision()),
        None => here.remove(event.key()),
    };
}

fn decode(reader: &mut Reader<'_>, here: &mut BTreeMap<Key, ObjectRef>) -> Result<EventRef, WireError> {
    let flags = reader.byte()?;
    let text = reader.text()?;
    let key = Key::parse(text).ok_or_else(|| reader.value(text.len() as u64))?;
    let revision = Revision(reader.u64()?);
    let known = here.remove(&key).filter(|_| flags & flag::HERE != 0);
    let before = match flags & flag::BEFORE {
        0 => known,
        _ => Some(decode_object(reader.bytes()?)?),
    };
    if flags & flag::PUT == 0 {
        let before = before.ok_or_else(|| reader.value(flags.into()))?;
        return Ok(Event::delete(revision, before));
    }
    let object = decode_object(reader.bytes()?)?;
    here.insert(key, object.clone());
    Ok(Event::put(object, before))
}
