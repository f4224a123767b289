//! Schemas as data, and the walks over them.

pub mod types;

pub use types::{AnyKind, Field, Limits, ListKind, Node, NodeId, PatchStrategy, Schema, Shape, Types, Unknown};
