//! Where things are in etcd, and what their values look like.
//!
//! ```text
//! PREFIX/head                  empty; every command writes it, so its revision is that of the last one
//! PREFIX/notes/NAME            what servers tell each other before they can read the state
//! PREFIX/state/leader          ID INSTANCE of the server that leads, on its lease; created in its term
//! PREFIX/state/servers/ID      INSTANCE of a server that is there, on its lease
//! PREFIX/state/objects/KEY     an object: format:u8=1, LEB128 of where its revision belongs, JSON
//! ```
//!
//! The JSON lacks the digits of its revision: etcd gives that when it writes, and whoever reads fills it
//! in. What is followed is everything below `state/`.

use bytes::Bytes;

use super::proto::{Compare, DeleteRequest, KeyValue, PutRequest, RangeRequest, Relation, Request, RequestOp};
use super::proto::{Subject, Value};
use crate::object::{Key, Object, ObjectRef, Revision};
use crate::store::command::Payload;
use crate::store::wire::{Reader, WireError, put_u64};

const WHAT: &str = "an object in etcd";
const FORMAT: u8 = 1;

/// The keys of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    prefix: String,
}

/// What a key below `state/` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Object(Key),
    Leader,
    Server(u64),
}

impl Layout {
    /// Everything below `prefix`, which has no slash at its end.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub fn head(&self) -> Bytes {
        format!("{}/head", self.prefix).into()
    }

    pub fn note(&self, name: &str) -> Bytes {
        format!("{}/notes/{name}", self.prefix).into()
    }

    pub fn leader(&self) -> Bytes {
        format!("{}/state/leader", self.prefix).into()
    }

    pub fn server(&self, id: u64) -> Bytes {
        format!("{}/state/servers/{id:016x}", self.prefix).into()
    }

    pub fn object(&self, key: &Key) -> Bytes {
        format!("{}/state/objects/{key}", self.prefix).into()
    }

    /// Everything that is followed: first key, and the first behind.
    pub fn state(&self) -> (Bytes, Bytes) {
        (format!("{}/state/", self.prefix).into(), format!("{}/state0", self.prefix).into())
    }

    /// What `key` stands for; nothing for what others have put there.
    pub fn place(&self, key: &[u8]) -> Option<Place> {
        let text = std::str::from_utf8(key).ok()?.strip_prefix(self.prefix.as_str())?.strip_prefix("/state/")?;
        match text.split_once('/') {
            None if text == "leader" => Some(Place::Leader),
            Some(("objects", key)) => Key::parse(key).map(Place::Object),
            Some(("servers", id)) => u64::from_str_radix(id, 16).ok().map(Place::Server),
            _ => None,
        }
    }
}

pub(super) fn encode(payload: &Payload) -> Bytes {
    let mut value = Vec::with_capacity(payload.bytes.len() + 6);
    value.push(FORMAT);
    put_u64(&mut value, payload.revision_at.into());
    value.extend_from_slice(&payload.bytes);
    value.into()
}

/// The object at `key`, with its revision filled in.
pub(super) fn decode(key: Key, kv: &KeyValue) -> Result<ObjectRef, WireError> {
    let mut reader = Reader::new(WHAT, &kv.value);
    let format = reader.byte()?;
    if format != FORMAT {
        return Err(WireError::Version { what: WHAT, found: format.into(), known: FORMAT.into() });
    }
    let at = reader.u32()?;
    let json = reader.take(reader.remaining())?;
    if at as usize > json.len() {
        return Err(WireError::Value { what: WHAT, value: at.into() });
    }
    Ok(Object::spliced(key, modified(kv), json, at))
}

/// When the value was last written.
pub(super) fn modified(kv: &KeyValue) -> Revision {
    Revision(u64::try_from(kv.mod_revision).unwrap_or(0))
}

/// A number of ours as etcd counts; what etcd cannot count to is nobody's.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn get(key: Bytes) -> RequestOp {
    op(Request::Range(RangeRequest { key, ..RangeRequest::default() }))
}

pub(super) fn put(key: Bytes, value: Bytes, lease: i64) -> RequestOp {
    op(Request::Put(PutRequest { key, value, lease }))
}

pub(super) fn delete(key: Bytes) -> RequestOp {
    op(Request::Delete(DeleteRequest { key, prev_kv: true }))
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// The key holds nothing (`Relation::Equal` to 0), something (`Greater`), or what was created then.
pub(super) fn created(key: Bytes, relation: Relation, revision: u64) -> Compare {
    let value = Some(Value::Create(signed(revision)));
    Compare { result: relation.into(), target: Subject::Create.into(), key, value }
}

/// What the key holds was last written at `revision`.
pub(super) fn written(key: Bytes, revision: Revision) -> Compare {
    let value = Some(Value::Mod(signed(revision.0)));
    Compare { result: Relation::Equal.into(), target: Subject::Mod.into(), key, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_at_its_place_and_strangers_are_not() {
        let layout = Layout::new("/skiff");
        let key = Key::of("pods", "a", "x");
        let place = |key: &[u8]| layout.place(key);
        assert_eq!(place(&layout.object(&key)), Some(Place::Object(key)));
        assert_eq!(place(&layout.server(7)), Some(Place::Server(7)));
        assert_eq!(place(&layout.leader()), Some(Place::Leader));
        for strange in ["/skiff/head", "/skiff/state/objects/a", "/skiff/state/x", "/skiffs/state/leader", "\u{1}"] {
            assert_eq!(place(strange.as_bytes()), None, "{strange}");
        }
        let (first, end) = layout.state();
        let followed = [layout.object(&Key::of("zz", "z", "z")), layout.leader(), layout.server(u64::MAX)];
        assert!(followed.iter().all(|key| (&first..&end).contains(&key)));
        assert!(!(first..end).contains(&layout.head()));
    }

    #[test]
    fn an_object_comes_back_with_the_revision_that_etcd_gave_it() {
        let payload = Payload::find(r#"{"metadata":{"resourceVersion":""},"v":1}"#).unwrap();
        let kv = KeyValue { value: encode(&payload), mod_revision: 41, ..KeyValue::default() };
        let object = decode(Key::of("pods", "a", "x"), &kv).unwrap();
        assert_eq!(object.bytes(), &br#"{"metadata":{"resourceVersion":"41"},"v":1}"#[..]);
        for (bad, error) in [
            (&b""[..], "an object in etcd ends too early"),
            (b"\x02\x01{}", "an object in etcd has format 2; this program reads up to 1"),
            (b"\x01\x09{}", "an object in etcd holds 9, which has no meaning"),
        ] {
            let kv = KeyValue { value: bad.into(), ..kv.clone() };
            assert_eq!(decode(Key::of("pods", "a", "x"), &kv).unwrap_err().to_string(), error);
        }
    }
}
