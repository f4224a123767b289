//! Kubernetes' protobuf: an envelope that names the kind, and the object in it, walked by schema.
//!
//! The bytes are those that upstream's generated code makes: fields in the order of their numbers,
//! Go values without a pointer written even when they are zero, maps sorted by key.

use super::super::quantity::Quantity;
use super::super::schema::DecodeError;
use super::super::schema::Schema;
use super::super::tree::Tree;

mod read;
mod wire;
mod write;

use wire::Wire;

pub use wire::Writer;

/// What every object begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// An object still in its envelope.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(DecodeError::Syntax(format!(
                "provided data does not appear to be a protobuf message, expected prefix {MAGIC:?}"
            )));
        };
        let mut envelope = Self { api_version: "", kind: "", raw: &[] };
        for field in Wire::new(rest).fields() {
            match field? {
                (1, value) => {
                    for field in Wire::new(value.bytes()?).fields() {
                        match field? {
                            (1, value) => envelope.api_version = value.text()?,
                            (2, value) => envelope.kind = value.text()?,
                            _ => (),
                        }
                    }
                }
                (2, value) => envelope.raw = value.bytes()?,
                _ => (),
            }
        }
        Ok(envelope)
    }

    /// The object, with `apiVersion` and `kind` as the envelope has them.
    pub fn decode(&self, schema: Schema<'_>) -> Result<Tree, DecodeError> {
        let mut tree = read::message(self.raw, schema)?;
        for (name, value) in [("apiVersion", self.api_version), ("kind", self.kind)] {
            if let (Some(map), false) = (tree.as_object_mut(), value.is_empty()) {
                map.insert(name.into(), value.into());
            }
        }
        Ok(tree)
    }
}

/// Writes an object in its envelope. Its kind is what `apiVersion` and `kind` in it say.
pub fn encode(tree: &Tree, schema: Schema<'_>) -> Vec<u8> {
    let text = |name: &str| tree.get(name).and_then(Tree::as_str).unwrap_or_default();
    let mut out = Writer::default();
    out.0.extend(MAGIC);
    out.message(1, |meta| {
        meta.bytes(1, text("apiVersion").as_bytes());
        meta.bytes(2, text("kind").as_bytes());
    });
    out.message(2, |raw| write::message(raw, tree, schema));
    out.bytes(3, b"");
    out.bytes(4, b"");
    out.0
}

/// Writes one event of a watch, whose object is already encoded; no envelope goes around it.
pub fn watch_event(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(1, kind.as_bytes());
    out.message(2, |raw| raw.bytes(1, object));
    out.0
}

/// The amount that a quantity's text stands for, as Go would print it.
fn canonical_quantity(text: &str) -> String {
    Quantity::normalize(text).unwrap_or_else(|_| "0".into())
}
