//! Encodings: JSON, YAML, protobuf.

pub mod json;
pub mod protobuf;
pub mod reader;
pub mod yaml;

pub use json::{Encoded, encode};
