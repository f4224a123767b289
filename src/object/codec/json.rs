//! Canonical JSON: fields in upstream's order, strings escaped and numbers printed as Go does.

use std::io::Write as _;

use serde_json::Number;

use super::super::schema::{Empty, Field, Schema, Shape, zero};
use super::super::tree::{Map, Tree};

/// An object's bytes, with room for its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// Where the digits of `metadata.resourceVersion` belong, between its two quotes.
    pub revision_at: usize,
}

/// Writes an object for the store: `metadata.resourceVersion` is there but empty, to be spliced in.
///
/// A tree without `metadata` gets one.
pub fn encode(tree: &Tree, schema: Schema<'_>) -> Encoded {
    let mut writer = Writer { out: Vec::with_capacity(4096), hole: Hole::InRoot, is_stored: true };
    writer.value(tree, Some(schema));
    let revision_at = match writer.hole {
        Hole::At(place) => place,
        _ => 0,
    };
    Encoded { bytes: writer.out, revision_at }
}

/// Writes a tree as it is, in the order of its schema or, without one, sorted by key.
pub fn to_json(tree: &Tree, schema: Option<Schema<'_>>) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(1024), hole: Hole::None, is_stored: false };
    writer.value(tree, schema);
    writer.out
}

/// Lays compact JSON out over lines, indented by two spaces, as `?pretty=true` asks for.
pub fn indent(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    let new_line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for (at, &byte) in compact.iter().enumerate() {
        if in_string {
            out.push(byte);
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'}' | b']' => {
                depth -= 1;
                if !matches!(compact[at - 1], b'{' | b'[') {
                    new_line(&mut out, depth);
                }
            }
            _ => (),
        }
        out.push(byte);
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if !matches!(compact.get(at + 1), Some(b'}' | b']')) {
                    new_line(&mut out, depth);
                }
            }
            b',' => new_line(&mut out, depth),
            b':' => out.push(b' '),
            _ => (),
        }
    }
    out
}

/// Where the revision's place is still to be made.
#[derive(Clone, Copy, PartialEq)]
enum Hole {
    None,
    /// In the `metadata` of the object that comes next.
    InRoot,
    /// In the object that comes next.
    InMeta,
    At(usize),
}

const METADATA: &str = "metadata";
const REVISION: &str = "resourceVersion";

struct Writer {
    out: Vec<u8>,
    hole: Hole,
    /// Whether what is written is to be read back from the store.
    is_stored: bool,
}

/// Whether the store gives an empty list back as none: upstream keeps built-in objects as protobuf,
/// which does not tell the two apart.
fn is_nothing(field: &Field, value: &Tree) -> bool {
    field.empty == Empty::Always && value.as_array().is_some_and(Vec::is_empty)
}

impl Writer {
    fn value(&mut self, tree: &Tree, schema: Option<Schema<'_>>) {
        match tree {
            Tree::Null => self.out.extend(b"null"),
            Tree::Bool(true) => self.out.extend(b"true"),
            Tree::Bool(false) => self.out.extend(b"false"),
            Tree::Number(number) => write_number(&mut self.out, number),
            Tree::String(text) => write_string(&mut self.out, text),
            Tree::Array(items) => {
                let schema = schema.and_then(Schema::items);
                self.out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.value(item, schema);
                }
                self.out.push(b']');
            }
            Tree::Object(map) => self.object(map, schema),
        }
    }

    fn object(&mut self, map: &Map, schema: Option<Schema<'_>>) {
        let hole = match self.hole {
            Hole::InRoot => Some(METADATA),
            Hole::InMeta => Some(REVISION),
            Hole::None | Hole::At(_) => None,
        };
        let place = self.hole;
        if hole.is_some() {
            self.hole = Hole::None;
        }
        self.out.push(b'{');
        let start = self.out.len();
        match schema.map(|schema| (schema, schema.shape())) {
            Some((schema, Shape::Struct { fields, .. })) if !schema.types.sorted => {
                let mut written = 0;
                for field in fields {
                    let node = schema.to(field.node);
                    match map.get(&*field.name) {
                        Some(value) => {
                            written += 1;
                            let value = if self.is_stored && is_nothing(field, value) { &Tree::Null } else { value };
                            self.entry(&field.name, Some(value), Some(node), start, place, hole);
                        }
                        None if hole == Some(&field.name) => {
                            self.entry(&field.name, None, Some(node), start, place, hole)
                        }
                        None => match field.empty {
                            Empty::Always => {
                                let zero = zero(schema.types, field.node);
                                self.entry(&field.name, Some(&zero), Some(node), start, place, None);
                            }
                            Empty::Null => self.entry(&field.name, Some(&Tree::Null), None, start, place, None),
                            Empty::Keep | Empty::Drop => (),
                        },
                    }
                }
                if written < map.len() {
                    let unknown = map.iter().filter(|(name, _)| schema.field(name).is_none());
                    unknown.for_each(|(name, value)| self.entry(name, Some(value), None, start, place, None));
                }
            }
            _ => self.sorted_object(map, schema, start, place, hole),
        }
        self.out.push(b'}');
    }

    fn sorted_object(
        &mut self,
        map: &Map,
        schema: Option<Schema<'_>>,
        start: usize,
        place: Hole,
        mut hole: Option<&str>,
    ) {
        for (name, value) in map {
            if let Some(missing) = hole.filter(|missing| *missing <= name.as_str()) {
                hole = None;
                if *missing != **name {
                    self.entry(missing, None, None, start, place, Some(missing));
                } else {
                    self.entry(
                        name,
                        Some(value),
                        schema.and_then(|schema| schema.child(name)),
                        start,
                        place,
                        Some(missing),
                    );
                    continue;
                }
            }
            self.entry(name, Some(value), schema.and_then(|schema| schema.child(name)), start, place, None);
        }
        if let Some(missing) = hole {
            self.entry(missing, None, None, start, place, Some(missing));
        }
    }

    /// Writes `"name":value`. If `name` is the one that `hole` names, the place for the revision is
    /// made here, or inside.
    fn entry(
        &mut self,
        name: &str,
        value: Option<&Tree>,
        schema: Option<Schema<'_>>,
        start: usize,
        place: Hole,
        hole: Option<&str>,
    ) {
        if self.out.len() > start {
            self.out.push(b',');
        }
        write_string(&mut self.out, name);
        self.out.push(b':');
        if hole != Some(name) {
            self.value(value.unwrap_or(&Tree::Null), schema);
        } else if place == Hole::InRoot {
            self.hole = Hole::InMeta;
            let empty = Tree::Object(Map::new());
            self.value(value.filter(|value| value.is_object()).unwrap_or(&empty), schema);
        } else {
            self.out.push(b'"');
            self.hole = Hole::At(self.out.len());
            self.out.push(b'"');
        }
    }
}

/// Bytes that may have to be escaped.
static IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = matches!(byte as u8, 0..0x20 | b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    special
};

/// Writes a string in quotes, escaping what Go's encoder escapes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !IS_SPECIAL[usize::from(byte)] {
            continue;
        }
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            8 => b"\\b",
            12 => b"\\f",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            0..0x20 => b"",
            0xe2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => b"\\u2028",
            0xe2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => b"\\u2029",
            _ => continue,
        };
        out.extend(&bytes[plain..at]);
        if escape.is_empty() {
            out.extend(format!("\\u{byte:04x}").bytes());
        } else {
            out.extend(escape);
        }
        plain = at + if byte == 0xe2 { 3 } else { 1 };
    }
    out.extend(&bytes[plain..]);
    out.push(b'"');
}

/// Writes a number as Go does: floats without exponent between 1e-6 and 1e21.
fn write_number(out: &mut Vec<u8>, number: &Number) {
    let written = match number.as_f64() {
        Some(float) if number.is_f64() => {
            let size = float.abs();
            if size != 0.0 && !(1e-6..1e21).contains(&size) {
                let text = format!("{float:e}");
                let text = if text.contains("e-") { text } else { text.replace('e', "e+") };
                out.write_all(text.as_bytes())
            } else {
                write!(out, "{float}")
            }
        }
        _ => write!(out, "{number}"),
    };
    debug_assert!(written.is_ok(), "memory takes what is written");
}

#[cfg(test)]
mod tests {
    use super::super::super::schema::{builtin, decode};
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn fields_are_in_upstreams_order_with_room_for_the_revision() {
        let schema = builtin().kind("v1", "ConfigMap").unwrap();
        let tree = json!({"data": {"b": "<1>", "a": "2"}, "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"uid": "u", "name": "cm", "labels": {"x": "y"}, "resourceVersion": "7"}});
        let Encoded { bytes, revision_at } = encode(&tree, schema);
        let (before, after) = std::str::from_utf8(&bytes).unwrap().split_at(revision_at);
        assert_eq!(
            format!("{before}^{after}"),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"cm","uid":"u","resourceVersion":"^","labels":{"x":"y"}},"data":{"a":"2","b":"\u003c1\u003e"}}"#
        );
        let roles = builtin().kind("rbac.authorization.k8s.io/v1", "Role").unwrap();
        let role = encode(&json!({"metadata": {"name": "r"}, "rules": []}), roles);
        assert!(role.bytes.ends_with(br#""rules":null}"#));
        let bare = encode(&json!({}), schema);
        assert_eq!(bare.bytes, br#"{"metadata":{"resourceVersion":""}}"#);
    }

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        let text = String::from_utf8(to_json(&json!([1, -2.5, 1e-7, 1e22, 0.1, 1e20]), None)).unwrap();
        assert_eq!(text, "[1,-2.5,1e-7,1e+22,0.1,100000000000000000000]");
    }

    #[test]
    fn a_decoded_object_is_written_as_it_was_read() {
        let schema = builtin().kind("apps/v1", "Deployment").unwrap();
        let text = br#"{"kind":"Deployment","metadata":{"name":"web","resourceVersion":"5"},"spec":{"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}}"#;
        let tree = decode(text, schema).unwrap().tree;
        assert_eq!(to_json(&tree, Some(schema)), text);
        assert_eq!(
            indent(br#"{"a":[1,{"b":"x,\"y"}],"c":{},"d":[]}"#),
            b"{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x,\\\"y\"\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}"
        );
    }
}
