//! Patches: JSON, merge, strategic merge, server-side apply.
//!
//! All are pure. The first three turn a document into another, which the caller decodes like any
//! sent object; errors are the answers that upstream gives.

pub mod apply;
pub mod json;
pub mod merge;
pub mod strategic;

use super::call::PatchKind;
use super::codec::json::{to_json, write_string};
use super::codec::reader::{Reader, Start};
use super::schema::{Decoded, Schema, decode_untyped};
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

/// A patched document as upstream's library shows it: an object that the patch reaches into is sorted by
/// key, everything else is as it was.
pub fn show_patched(kind: PatchKind, tree: &Tree, patch: &[u8], schema: Schema<'_>) -> String {
    let patch = decode_untyped(patch).map(|decoded| decoded.tree).unwrap_or_default();
    let reached = if kind == PatchKind::Json { json::reached(&patch) } else { patch };
    let mut out = Vec::new();
    show(&mut out, tree, Some(&reached), Some(schema));
    String::from_utf8_lossy(&out).into_owned()
}

fn show(out: &mut Vec<u8>, tree: &Tree, reached: Option<&Tree>, schema: Option<Schema<'_>>) {
    let Some(Tree::Object(reached)) = reached else { return out.extend(to_json(tree, schema)) };
    match tree {
        Tree::Object(map) => {
            out.push(b'{');
            for (at, (name, value)) in map.iter().enumerate() {
                out.extend(if at == 0 { &b""[..] } else { b"," });
                write_string(out, name);
                out.push(b':');
                show(out, value, reached.get(name), schema.and_then(|schema| schema.child(name)));
            }
            out.push(b'}');
        }
        Tree::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                out.extend(if at == 0 { &b""[..] } else { b"," });
                show(out, item, reached.get(at.to_string().as_str()), schema.and_then(Schema::items));
            }
            out.push(b']');
        }
        _ => out.extend(to_json(tree, schema)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::schema::builtin;
    use crate::object::tree::json;

    #[test]
    fn what_a_patch_reaches_into_is_shown_sorted() {
        let schema = builtin().kind("coordination.k8s.io/v1", "Lease").unwrap();
        let lease = json!({
            "kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "l", "uid": "u", "labels": {}},
            "spec": {"renewTime": "x", "holderIdentity": "b", "leaseTransitions": 1},
        });
        let merged = show_patched(PatchKind::Merge, &lease, br#"{"spec":{"renewTime":"x"}}"#, schema);
        let patched =
            show_patched(PatchKind::Json, &lease, br#"[{"op":"add","path":"/spec/renewTime","value":"x"}]"#, schema);
        assert_eq!(
            merged,
            r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l","uid":"u","labels":{}},"spec":{"holderIdentity":"b","leaseTransitions":1,"renewTime":"x"}}"#
        );
        assert_eq!(patched, merged);
    }
}
