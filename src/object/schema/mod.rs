//! Schemas as data, and the walks over them.

pub mod custom;
mod decode;
mod fill;
mod path;
pub mod table;
pub mod types;

pub use decode::{DecodeError, Decoded, decode, decode_untyped, go_type, is_empty, zero};
pub use fill::{fill, fill_zeroes, zeroes};
pub use table::builtin;
pub use types::{
    AnyKind, Empty, Field, Limits, ListKind, Name, Node, NodeId, PatchStrategy, Schema, SchemaOr, Shape, Types, Unknown,
};
