//! Trees to protobuf messages.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::super::schema::{Empty, Field, Schema, SchemaOr, Shape, is_empty, zero};
use super::super::super::time::Timestamp;
use super::super::super::tree::{Map, Tree};
use super::super::json::to_json;
use super::canonical_quantity;
use super::wire::Writer;

/// Writes the fields of a struct.
pub fn message(out: &mut Writer, tree: &Tree, schema: Schema<'_>) {
    let Shape::Struct { fields, .. } = schema.shape() else { return };
    let empty = Map::new();
    let mut order: Vec<&Field> = fields.iter().filter(|field| field.number > 0).collect();
    order.sort_by_key(|field| path(field));
    level(out, tree.as_object().unwrap_or(&empty), schema, &order, 0);
}

/// The numbers that lead to a field.
fn path(field: &Field) -> [u32; 3] {
    match field.inside {
        [0, _] => [field.number, 0, 0],
        [outer, 0] => [outer.into(), field.number, 0],
        [outer, inner] => [outer.into(), inner.into(), field.number],
    }
}

/// Writes fields that share the messages around them up to `depth`.
fn level(out: &mut Writer, map: &Map, schema: Schema<'_>, fields: &[&Field], depth: usize) {
    for group in fields.chunk_by(|one, other| path(one)[depth] == path(other)[depth]) {
        let number = path(group[0])[depth];
        let is_inside = depth < 2 && group[0].inside[depth] != 0;
        if is_inside {
            out.message(number, |out| level(out, map, schema, group, depth + 1));
        } else {
            field(out, number, group[0], map.get(&*group[0].name), schema.to(group[0].node));
        }
    }
}

fn field(out: &mut Writer, number: u32, field: &Field, value: Option<&Tree>, schema: Schema<'_>) {
    let is_pointer = matches!(field.empty, Empty::Keep | Empty::Null);
    match value.filter(|value| !value.is_null()) {
        Some(present) => value_of(out, number, present, schema),
        None if is_pointer => (),
        None => absent(out, number, schema),
    }
}

/// Writes what a Go value without a pointer has when nothing was given.
fn absent(out: &mut Writer, number: u32, schema: Schema<'_>) {
    match schema.shape() {
        Shape::List { .. } | Shape::Map { .. } | Shape::Bytes => (),
        Shape::Time | Shape::MicroTime | Shape::Any(_) | Shape::SchemaOr { .. } => out.message(number, |_| ()),
        _ => value_of(out, number, &zero(schema.types, schema.id), schema),
    }
}

fn value_of(out: &mut Writer, number: u32, value: &Tree, schema: Schema<'_>) {
    let text = value.as_str().unwrap_or_default();
    match schema.shape() {
        Shape::Struct { .. } => out.message(number, |out| message(out, value, schema)),
        Shape::Map { values, .. } => entries(out, number, value, schema.to(*values)),
        Shape::List { items, wrapped, .. } => {
            let items = schema.to(*items);
            let list = value.as_array().map_or(&[][..], Vec::as_slice);
            let each = |out: &mut Writer, number| {
                list.iter().for_each(|item| match item {
                    Tree::Null => absent(out, number, items),
                    item => value_of(out, number, item, items),
                });
            };
            if *wrapped { out.message(number, |out| each(out, 1)) } else { each(out, number) }
        }
        Shape::String => out.bytes(number, text.as_bytes()),
        Shape::Bytes => out.bytes(number, &BASE64_STANDARD.decode(text).unwrap_or_default()),
        Shape::Bool => out.varint(number, value.as_bool().unwrap_or_default().into()),
        Shape::Int32 | Shape::Int64 => out.varint(number, value.as_i64().unwrap_or_default()),
        Shape::Number => out.double(number, value.as_f64().unwrap_or_default()),
        Shape::Quantity => out.message(number, |out| out.bytes(1, canonical_quantity(text).as_bytes())),
        Shape::IntOrString => out.message(number, |out| {
            out.varint(1, value.is_string().into());
            out.varint(2, value.as_i64().unwrap_or_default());
            out.bytes(3, text.as_bytes());
        }),
        Shape::Time | Shape::MicroTime => out.message(number, |out| {
            if let Some(time) = Timestamp::parse(text) {
                out.varint(1, time.as_nanos().div_euclid(1_000_000_000) as i64);
                out.varint(2, time.as_nanos().rem_euclid(1_000_000_000) as i64);
            }
        }),
        Shape::Duration => out.message(number, |out| out.varint(1, duration_nanos(text))),
        Shape::Any(_) => out.message(number, |out| out.bytes(1, &to_json(value, None))),
        Shape::SchemaOr { schema: inner, other } => {
            let inner = schema.to(*inner);
            out.message(number, |out| schema_or(out, value, inner, *other));
        }
    }
}

fn entries(out: &mut Writer, number: u32, value: &Tree, values: Schema<'_>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        out.message(number, |out| {
            out.bytes(1, key.as_bytes());
            match value {
                Tree::Null => absent(out, 2, values),
                value if matches!(values.shape(), Shape::Bytes) && is_empty(value) => (),
                value => value_of(out, 2, value, values),
            }
        });
    }
}

fn schema_or(out: &mut Writer, value: &Tree, schema: Schema<'_>, other: SchemaOr) {
    match (other, value) {
        (SchemaOr::Bool, Tree::Object(_)) => {
            out.varint(1, 1);
            value_of(out, 2, value, schema);
        }
        (SchemaOr::Bool, _) => out.varint(1, value.as_bool().unwrap_or_default().into()),
        (_, Tree::Object(_)) => value_of(out, 1, value, schema),
        (SchemaOr::Schemas, _) => {
            value.as_array().into_iter().flatten().for_each(|item| value_of(out, 2, item, schema));
        }
        (SchemaOr::Strings, _) => {
            let texts = value.as_array().into_iter().flatten().filter_map(Tree::as_str);
            texts.for_each(|text| out.bytes(2, text.as_bytes()));
        }
    }
}

/// Nanoseconds of a Go duration such as `1h30m0.5s`; 0 if it is none.
fn duration_nanos(text: &str) -> i64 {
    const UNITS: &[(&str, f64)] =
        &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else { return 0 };
        nanos += number.parse::<f64>().unwrap_or_default() * size;
        rest = after;
    }
    (sign * nanos) as i64
}
