//! Encodings: JSON, YAML, protobuf.

pub mod json;
pub mod reader;

pub use json::{Encoded, encode};
