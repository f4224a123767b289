//! The version 2 document as protobuf, which older kubectl asks for.
//!
//! Only the parts that our document has; the messages are those of `openapi.v2` in gnostic.

use crate::object::codec::protobuf::Writer;
use crate::object::tree::{Tree, TreePath};

/// What clients ask for, and the name that the answer goes by.
pub const ACCEPTED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
pub const CONTENT_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

const METHODS: &[(&str, u32)] = &[("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8)];

pub fn document(tree: &Tree) -> Vec<u8> {
    let mut out = Writer::default();
    text(&mut out, 1, tree, "swagger");
    out.message(2, |out| {
        text(out, 1, &tree["info"], "title");
        text(out, 2, &tree["info"], "version");
    });
    out.message(8, |out| named(out, 2, &tree["paths"], path_item));
    out.message(9, |out| named(out, 1, &tree["definitions"], schema));
    for requirement in tree.items("security") {
        out.message(12, |out| named(out, 1, requirement, |_, _| ()));
    }
    out.message(13, |out| {
        named(out, 1, &tree["securityDefinitions"], |out, definition| {
            out.message(2, |out| {
                for (number, key) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
                    text(out, number, definition, key);
                }
            });
        });
    });
    out.0
}

/// Writes every entry of a map as a message of its name and value.
fn named(out: &mut Writer, number: u32, map: &Tree, write: impl Fn(&mut Writer, &Tree)) {
    for (name, value) in map.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with("x-")) {
        out.message(number, |out| {
            out.bytes(1, name.as_bytes());
            out.message(2, |out| write(out, value));
        });
    }
}

fn path_item(out: &mut Writer, item: &Tree) {
    for (method, number) in METHODS {
        if let Some(found) = item.get(method) {
            out.message(*number, |out| operation(out, found));
        }
    }
    item.items("parameters").iter().for_each(|found| out.message(9, |out| parameter(out, found)));
}

fn operation(out: &mut Writer, operation: &Tree) {
    texts(out, 1, operation, "tags");
    text(out, 3, operation, "description");
    text(out, 5, operation, "operationId");
    texts(out, 6, operation, "produces");
    texts(out, 7, operation, "consumes");
    operation.items("parameters").iter().for_each(|found| out.message(8, |out| parameter(out, found)));
    out.message(9, |out| {
        named(out, 1, &operation["responses"], |out, response| {
            out.message(1, |out| {
                text(out, 1, response, "description");
                if let Some(found) = response.get("schema") {
                    out.message(2, |out| out.message(1, |out| schema(out, found)));
                }
            });
        });
    });
    texts(out, 10, operation, "schemes");
    extensions(out, 13, operation);
}

fn parameter(out: &mut Writer, parameter: &Tree) {
    let place = parameter.text("in");
    out.message(1, |out| {
        if place == "body" {
            out.message(1, |out| {
                text(out, 1, parameter, "description");
                text(out, 2, parameter, "name");
                text(out, 3, parameter, "in");
                flag(out, 4, parameter, "required");
                out.message(5, |out| schema(out, &parameter["schema"]));
            });
            return;
        }
        // Query and path parameters differ by one number from `type` on.
        let (kind, kind_number, unique_number) = if place == "path" { (4, 5, 19) } else { (3, 6, 20) };
        out.message(2, |out| {
            out.message(kind, |out| {
                flag(out, 1, parameter, "required");
                text(out, 2, parameter, "in");
                text(out, 3, parameter, "description");
                text(out, 4, parameter, "name");
                text(out, kind_number, parameter, "type");
                flag(out, unique_number, parameter, "uniqueItems");
            });
        });
    });
}

fn schema(out: &mut Writer, tree: &Tree) {
    for (number, key) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description")] {
        text(out, number, tree, key);
    }
    if let Some(default) = tree.get("default") {
        out.message(5, |out| any(out, default));
    }
    for (number, key) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        if let Some(value) = tree.get(key).and_then(Tree::as_f64) {
            out.double(number, value);
        }
    }
    flag(out, 8, tree, "exclusiveMaximum");
    flag(out, 10, tree, "exclusiveMinimum");
    for (number, key) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        if let Some(value) = tree.get(key).and_then(Tree::as_i64) {
            out.varint(number, value);
        }
    }
    text(out, 13, tree, "pattern");
    flag(out, 16, tree, "uniqueItems");
    texts(out, 19, tree, "required");
    tree.items("enum").iter().for_each(|value| out.message(20, |out| any(out, value)));
    match tree.get("additionalProperties") {
        Some(Tree::Bool(flag)) => out.message(21, |out| out.varint(2, (*flag).into())),
        Some(found) => out.message(21, |out| out.message(1, |out| schema(out, found))),
        None => (),
    }
    if tree.get("type").is_some() {
        out.message(22, |out| text(out, 1, tree, "type"));
    }
    if let Some(items) = tree.get("items") {
        out.message(23, |out| out.message(1, |out| schema(out, items)));
    }
    if let Some(properties) = tree.get("properties") {
        out.message(25, |out| {
            // Here a name may begin with `x-` and still be a property.
            for (name, value) in properties.as_object().into_iter().flatten() {
                out.message(1, |out| {
                    out.bytes(1, name.as_bytes());
                    out.message(2, |out| schema(out, value));
                });
            }
        });
    }
    extensions(out, 31, tree);
}

fn extensions(out: &mut Writer, number: u32, tree: &Tree) {
    for (name, value) in tree.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-")) {
        out.message(number, |out| {
            out.bytes(1, name.as_bytes());
            out.message(2, |out| any(out, value));
        });
    }
}

/// Any value, as YAML; JSON is YAML too.
fn any(out: &mut Writer, value: &Tree) {
    out.bytes(2, value.to_string().as_bytes());
}

fn text(out: &mut Writer, number: u32, tree: &Tree, key: &str) {
    if let Some(text) = tree.get(key).and_then(Tree::as_str).filter(|text| !text.is_empty()) {
        out.bytes(number, text.as_bytes());
    }
}

fn texts(out: &mut Writer, number: u32, tree: &Tree, key: &str) {
    let texts = tree.get(key).and_then(Tree::as_array).into_iter().flatten().filter_map(Tree::as_str);
    texts.for_each(|text| out.bytes(number, text.as_bytes()));
}

fn flag(out: &mut Writer, number: u32, tree: &Tree, key: &str) {
    if tree.get(key) == Some(&Tree::Bool(true)) {
        out.varint(number, 1);
    }
}
