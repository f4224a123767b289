//! Patches: JSON, merge, strategic merge, server-side apply.
//!
//! All are pure. The first three turn a document into another, which the caller decodes like any
//! sent object; errors are the answers that upstream gives.

pub mod apply;
pub mod json;
pub mod merge;
pub mod strategic;

use super::codec::reader::{Reader, Start};
use super::schema::{Decoded, decode_untyped};
use super::status::{Details, Reason, Status};
use super::tree::Tree;

pub use apply::{Applied, FieldManager, Versions, keep_times};

/// A patched document, still to be decoded, and what is odd about the patch itself
/// (`duplicate field "data.a"`), which matters where decoding is strict.
#[derive(Debug, PartialEq)]
pub struct Patched {
    pub tree: Tree,
    pub complaints: Vec<String>,
}

/// 422 with nothing but the general words: the patch does not fit the document.
fn rejected() -> Status {
    Status::new(Reason::Invalid, "the server rejected our request due to an error in our request")
        .with_details(Details::default())
}

/// Reads a patch that has to be an object.
fn read_object(patch: &[u8], wrap: impl Fn(String) -> String) -> Result<Decoded, Status> {
    let decoded = decode_untyped(patch).map_err(|error| Status::bad_request(wrap(error.to_string())))?;
    if decoded.tree.is_object() {
        return Ok(decoded);
    }
    let start = Reader::new(patch).peek().unwrap_or(Start::Null);
    let why = format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", start.word());
    Err(Status::bad_request(wrap(why)))
}
