//! What a log entry holds: all the proposals that waited when it was made.
//!
//! ```text
//! entry   = 1:u8 floor:varint op* | 2:u8 sealed
//! op      = 1 command | 2 reserved:varint | 3 | 4 key revision:varint revision_at:varint bytes
//! command = flags:u8 [term:varint] count:varint write*
//! write   = key expect:u8 [revision:varint] ( 0 | 1 revision_at:varint bytes )
//! ```
//! On the disk an entry with objects that are to be encrypted is sealed as a whole, bound to its place in
//! the log; everywhere else it is plain. Keys and bytes have their length before them. A version is raised when an older program could not
//! read what a newer one writes.

use bytes::Bytes;

use super::command::{Action, Command, Expect, Payload, Write};
use super::state::Position;
use super::wire::{Reader, WireError, put_bytes, put_u64};
use crate::base::seal::Seal;
use crate::object::{Key, Revision};

const VERSION: u8 = 1;
const SEALED: u8 = 2;
const HAS_TERM: u8 = 1;
const VOLATILE: u8 = 2;

/// One thing that an entry does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op {
    Command(Command),
    /// Revisions up to this one may be given to writes that are not in the log.
    Reserve(Revision),
    /// A new leader begins: go on after all revisions that its predecessor may have given away.
    Resume,
    /// A volatile write made before this entry, which what follows may be conditional on.
    Restore(Key, Revision, Payload),
}

/// An entry being made from encoded ops.
pub(super) struct EntryBuilder {
    data: Vec<u8>,
    pub ops: usize,
}

impl EntryBuilder {
    /// `floor` is the revision after which the entry's writes are numbered.
    pub fn new(floor: Revision) -> Self {
        let mut data = vec![VERSION];
        put_u64(&mut data, floor.0);
        Self { data, ops: 0 }
    }

    /// Makes room for so many bytes more, so that what is there is not moved.
    pub fn reserve(&mut self, bytes: usize) {
        self.data.reserve_exact(bytes);
    }

    pub fn push(&mut self, encoded: &[u8]) {
        self.data.extend_from_slice(encoded);
        self.ops += 1;
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn finish(self) -> Vec<u8> {
        self.data
    }
}

/// A decoded entry. The default is that of an entry without data, as raft itself writes them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub floor: Revision,
    pub ops: Vec<Op>,
}

impl Entry {
    /// Reads an entry; the objects in it share `data`.
    pub fn decode(data: &Bytes) -> Result<Self, WireError> {
        const WHAT: &str = "a log entry";
        if data.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(WHAT, data);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(WireError::Version { what: WHAT, found: version.into(), known: VERSION.into() });
        }
        let floor = Revision(reader.u64()?);
        let mut ops = Vec::new();
        while !reader.is_empty() {
            ops.push(decode_op(&mut reader, data)?);
        }
        Ok(Self { floor, ops })
    }
}

/// An entry's data as it is to lie on the disk; `None` if that is as it is.
pub(super) fn seal(data: &[u8], at: Position, seal: &dyn Seal) -> Result<Option<Vec<u8>>, WireError> {
    if seal.generation() == 0 || data.is_empty() {
        return Ok(None);
    }
    let entry = Entry::decode(&Bytes::copy_from_slice(data))?;
    let keys = entry.ops.iter().flat_map(|op| match op {
        Op::Command(command) => command.writes.iter().map(|write| &write.key).collect(),
        Op::Restore(key, ..) => vec![key],
        Op::Reserve(_) | Op::Resume => Vec::new(),
    });
    let Some(resource) = keys.map(Key::resource).find(|resource| seal.covers(resource)) else { return Ok(None) };
    let sealed = seal.seal(resource, data, &context_of(at));
    let sealed = sealed.map_err(|source| WireError::Sealed { what: "a log entry", source })?;
    Ok(Some([&[SEALED][..], &sealed].concat()))
}

/// The other way round.
pub(super) fn open(data: &[u8], at: Position, seal: &dyn Seal) -> Result<Option<Vec<u8>>, WireError> {
    let [SEALED, sealed @ ..] = data else { return Ok(None) };
    let opened = seal.open(sealed, &context_of(at));
    opened.map(Some).map_err(|source| WireError::Sealed { what: "a log entry", source })
}

fn context_of(at: Position) -> [u8; 16] {
    let mut context = [0; 16];
    context[..8].copy_from_slice(&at.index.to_le_bytes());
    context[8..].copy_from_slice(&at.term.to_le_bytes());
    context
}

pub(super) fn encode_op(op: &Op) -> Vec<u8> {
    let mut out = Vec::new();
    match op {
        Op::Command(command) => return encode_command(command),
        Op::Reserve(revision) => {
            out.push(2);
            put_u64(&mut out, revision.0);
        }
        Op::Resume => out.push(3),
        Op::Restore(key, revision, payload) => {
            out.push(4);
            put_bytes(&mut out, key.as_str().as_bytes());
            put_u64(&mut out, revision.0);
            put_payload(&mut out, payload);
        }
    }
    out
}

pub(super) fn encode_command(command: &Command) -> Vec<u8> {
    let size: usize = command.writes.iter().map(|write| write.size() + 32).sum();
    let mut out = Vec::with_capacity(size + 16);
    out.push(1);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(flag(command.term.is_some(), HAS_TERM) | flag(command.volatile, VOLATILE));
    if let Some(term) = command.term {
        put_u64(&mut out, term);
    }
    put_u64(&mut out, command.writes.len() as u64);
    for write in &command.writes {
        encode_write(&mut out, write);
    }
    out
}

fn encode_write(out: &mut Vec<u8>, write: &Write) {
    put_bytes(out, write.key.as_str().as_bytes());
    match write.expect {
        Expect::Any => out.push(0),
        Expect::Absent => out.push(1),
        Expect::Present => out.push(2),
        Expect::Revision(revision) => {
            out.push(3);
            put_u64(out, revision.0);
        }
    }
    match &write.action {
        Action::Delete => out.push(0),
        Action::Put(payload) => {
            out.push(1);
            put_payload(out, payload);
        }
    }
}

fn put_payload(out: &mut Vec<u8>, payload: &Payload) {
    put_u64(out, payload.revision_at.into());
    put_bytes(out, &payload.bytes);
}

fn decode_op(reader: &mut Reader<'_>, data: &Bytes) -> Result<Op, WireError> {
    match reader.byte()? {
        1 => decode_command(reader, data).map(Op::Command),
        2 => Ok(Op::Reserve(Revision(reader.u64()?))),
        3 => Ok(Op::Resume),
        4 => {
            let key = decode_key(reader)?;
            Ok(Op::Restore(key, Revision(reader.u64()?), decode_payload(reader, data)?))
        }
        other => Err(reader.value(other.into())),
    }
}

fn decode_command(reader: &mut Reader<'_>, data: &Bytes) -> Result<Command, WireError> {
    let flags = reader.byte()?;
    let term = if flags & HAS_TERM != 0 { Some(reader.u64()?) } else { None };
    let count = reader.u64()? as usize;
    let mut writes = Vec::with_capacity(count.min(reader.remaining()));
    for _ in 0..count {
        writes.push(decode_write(reader, data)?);
    }
    Ok(Command { writes, term, volatile: flags & VOLATILE != 0 })
}

fn decode_write(reader: &mut Reader<'_>, data: &Bytes) -> Result<Write, WireError> {
    let key = decode_key(reader)?;
    let expect = match reader.byte()? {
        0 => Expect::Any,
        1 => Expect::Absent,
        2 => Expect::Present,
        3 => Expect::Revision(Revision(reader.u64()?)),
        other => return Err(reader.value(other.into())),
    };
    let action = match reader.byte()? {
        0 => Action::Delete,
        1 => Action::Put(decode_payload(reader, data)?),
        other => return Err(reader.value(other.into())),
    };
    Ok(Write { key, expect, action })
}

fn decode_key(reader: &mut Reader<'_>) -> Result<Key, WireError> {
    let text = reader.text()?;
    Key::parse(text).ok_or_else(|| reader.value(text.len() as u64))
}

fn decode_payload(reader: &mut Reader<'_>, data: &Bytes) -> Result<Payload, WireError> {
    let revision_at = reader.u32()?;
    let bytes = reader.bytes()?;
    Ok(Payload { bytes: data.slice_ref(bytes), revision_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_write() -> impl Strategy<Value = Write> {
        let expect = prop_oneof![
            Just(Expect::Any),
            Just(Expect::Absent),
            Just(Expect::Present),
            any::<u64>().prop_map(|revision| Expect::Revision(Revision(revision))),
        ];
        let put = (any::<Vec<u8>>(), any::<u32>())
            .prop_map(|(bytes, revision_at)| Action::Put(Payload { bytes: bytes.into(), revision_at }));
        let action = prop_oneof![Just(Action::Delete), put];
        ("[a-z.]{1,20}", "[a-z]{0,9}", "[a-z0-9.-]{0,30}", expect, action).prop_map(
            |(resource, namespace, name, expect, action)| Write {
                key: Key::of(&resource, &namespace, &name),
                expect,
                action,
            },
        )
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let command = (prop::collection::vec(any_write(), 1..4), any::<Option<u64>>(), any::<bool>())
            .prop_map(|(writes, term, volatile)| Op::Command(Command { writes, term, volatile }));
        let restore =
            (any_write(), any::<u64>(), any::<Vec<u8>>(), any::<u32>()).prop_map(|(write, at, bytes, hole)| {
                Op::Restore(write.key, Revision(at), Payload { bytes: bytes.into(), revision_at: hole })
            });
        let reserve = any::<u64>().prop_map(|to| Op::Reserve(Revision(to)));
        prop_oneof![8 => command, 1 => reserve, 1 => Just(Op::Resume), 1 => restore]
    }

    fn encode(floor: Revision, ops: &[Op]) -> Bytes {
        let mut entry = EntryBuilder::new(floor);
        ops.iter().for_each(|op| entry.push(&encode_op(op)));
        entry.finish().into()
    }

    proptest! {
        #[test]
        fn entries_read_back_as_written(floor: u64, ops in prop::collection::vec(any_op(), 0..5)) {
            let data = encode(Revision(floor), &ops);
            prop_assert_eq!(Entry::decode(&data).unwrap(), Entry { floor: Revision(floor), ops });
        }

        #[test]
        fn damaged_entries_are_refused_or_read_but_never_panic(bytes: Vec<u8>) {
            let _ = Entry::decode(&bytes.into());
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let error = Entry::decode(&Bytes::from_static(&[9, 0])).unwrap_err();
        assert_eq!(error.to_string(), "a log entry has format 9; this program reads up to 1");
    }
}
