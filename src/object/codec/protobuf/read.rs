//! Protobuf messages to trees.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::super::schema::{
    DecodeError, Decoded, Empty, Field, Schema, SchemaOr, Shape, decode_untyped, is_empty, zero,
};
use super::super::super::time::Timestamp;
use super::super::super::tree::{Map, Tree};
use super::super::reader::DEPTH_MAX;
use super::wire::{Value, Wire, bad};

/// Reads the fields of a struct; unknown numbers are skipped.
pub fn message(bytes: &[u8], schema: Schema<'_>) -> Result<Tree, DecodeError> {
    Reader { depth: 0 }.message(bytes, schema)
}

struct Reader {
    depth: u32,
}

impl Reader {
    fn message(&mut self, bytes: &[u8], schema: Schema<'_>) -> Result<Tree, DecodeError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(DecodeError::Syntax("exceeded max depth".into()));
        }
        let mut map = Map::new();
        if let Shape::Struct { fields, .. } = schema.shape() {
            self.level(bytes, schema, fields, [0, 0], &mut map)?;
        }
        self.depth -= 1;
        Ok(Tree::Object(map))
    }

    /// Reads the fields that are inside the messages `around`, outermost first.
    fn level(
        &mut self,
        bytes: &[u8],
        schema: Schema<'_>,
        fields: &[Field],
        around: [u8; 2],
        map: &mut Map,
    ) -> Result<(), DecodeError> {
        for item in Wire::new(bytes).fields() {
            let (number, value) = item?;
            if let Some(field) = fields.iter().find(|field| field.inside == around && field.number == number) {
                let read = self.field(field, value, schema.to(field.node), map.remove(&*field.name))?;
                map.extend(read.map(|read| (field.name.clone().into_owned(), read)));
                continue;
            }
            let inside = match (around, u8::try_from(number)) {
                ([0, _], Ok(number)) => [number, 0],
                ([outer, 0], Ok(number)) => [outer, number],
                _ => continue,
            };
            let leads_inside = |field: &Field| field.inside == inside || around[0] == 0 && field.inside[0] == inside[0];
            if inside[0] != 0 && fields.iter().any(leads_inside) {
                self.level(value.bytes()?, schema, fields, inside, map)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &Field,
        value: Value<'_>,
        schema: Schema<'_>,
        old: Option<Tree>,
    ) -> Result<Option<Tree>, DecodeError> {
        let read = match schema.shape() {
            Shape::List { items, wrapped: false, .. } => {
                let mut list = match old {
                    Some(Tree::Array(list)) => list,
                    _ => Vec::new(),
                };
                list.push(self.value(value, schema.to(*items))?);
                Tree::Array(list)
            }
            Shape::Map { values, .. } => {
                let mut map = match old {
                    Some(Tree::Object(map)) => map,
                    _ => Map::new(),
                };
                let (key, value) = self.entry(value.bytes()?, schema.to(*values))?;
                map.insert(key.into(), value);
                Tree::Object(map)
            }
            _ => self.value(value, schema)?,
        };
        let means_nothing = field.empty == Empty::Drop && is_empty(&read) || read.is_null();
        Ok((!means_nothing).then_some(read))
    }

    fn entry(&mut self, bytes: &[u8], values: Schema<'_>) -> Result<(String, Tree), DecodeError> {
        let (mut key, mut read) = (String::new(), zero(values.types, values.id));
        if matches!(values.shape(), Shape::Bytes) {
            read = "".into();
        }
        for item in Wire::new(bytes).fields() {
            match item? {
                (1, value) => key = value.text()?.to_owned(),
                (2, value) => read = self.value(value, values)?,
                _ => (),
            }
        }
        Ok((key, read))
    }

    fn value(&mut self, value: Value<'_>, schema: Schema<'_>) -> Result<Tree, DecodeError> {
        Ok(match schema.shape() {
            Shape::Struct { .. } => self.message(value.bytes()?, schema)?,
            Shape::List { items, .. } => {
                let items = schema.to(*items);
                let mut list = Vec::new();
                for item in Wire::new(value.bytes()?).fields() {
                    list.push(self.value(item?.1, items)?);
                }
                Tree::Array(list)
            }
            Shape::Map { .. } => return Err(bad("a map where none can be")),
            Shape::String => value.text()?.into(),
            Shape::Bytes => BASE64_STANDARD.encode(value.bytes()?).into(),
            Shape::Bool => (value.int()? != 0).into(),
            Shape::Int32 => (value.int()? as i32).into(),
            Shape::Int64 => value.int()?.into(),
            Shape::Number => value.double()?.into(),
            Shape::Quantity => {
                let text = nested(value, 1)?.map(Value::text).transpose()?.unwrap_or("0");
                super::super::super::quantity::Quantity::normalize(text)
                    .map_err(|error| DecodeError::Type(error.to_string()))?
                    .into()
            }
            Shape::IntOrString => int_or_string(value)?,
            Shape::Time => time(value)?.map_or(Tree::Null, Tree::from),
            Shape::MicroTime => time(value)?.map_or(Tree::Null, |time| time.micros().into()),
            Shape::Duration => duration(nested(value, 1)?.map(Value::int).transpose()?.unwrap_or_default()).into(),
            Shape::Any(_) => match nested(value, 1)? {
                Some(raw) if !raw.bytes()?.is_empty() => {
                    let Decoded { tree, .. } = decode_untyped(raw.bytes()?)?;
                    tree
                }
                _ => Tree::Null,
            },
            Shape::SchemaOr { schema: inner, other } => self.schema_or(value.bytes()?, schema.to(*inner), *other)?,
        })
    }

    fn schema_or(&mut self, bytes: &[u8], schema: Schema<'_>, other: SchemaOr) -> Result<Tree, DecodeError> {
        let mut list = Vec::new();
        let mut read = None;
        for item in Wire::new(bytes).fields() {
            match (other, item?) {
                (SchemaOr::Bool, (1, value)) => {
                    read = Some(read.unwrap_or_else(|| Tree::from(value.int().is_ok_and(|flag| flag != 0))))
                }
                (SchemaOr::Bool, (2, value)) => read = Some(self.message(value.bytes()?, schema)?),
                (_, (1, value)) => read = Some(self.message(value.bytes()?, schema)?),
                (SchemaOr::Schemas, (2, value)) => list.push(self.message(value.bytes()?, schema)?),
                (SchemaOr::Strings, (2, value)) => list.push(value.text()?.into()),
                _ => (),
            }
        }
        Ok(read.unwrap_or(Tree::Array(list)))
    }
}

/// The last field `number` of a message that is a wrapper around it.
fn nested(value: Value<'_>, number: u32) -> Result<Option<Value<'_>>, DecodeError> {
    let mut found = None;
    for item in Wire::new(value.bytes()?).fields() {
        let (seen, value) = item?;
        if seen == number {
            found = Some(value);
        }
    }
    Ok(found)
}

fn int_or_string(value: Value<'_>) -> Result<Tree, DecodeError> {
    let int = |number| nested(value, number)?.map(Value::int).transpose().map(Option::unwrap_or_default);
    if int(1)? == 1 {
        let text = nested(value, 3)?.map(Value::text).transpose()?;
        return Ok(text.unwrap_or_default().into());
    }
    Ok((int(2)? as i32).into())
}

fn time(value: Value<'_>) -> Result<Option<Timestamp>, DecodeError> {
    if value.bytes()?.is_empty() {
        return Ok(None);
    }
    let int = |number| nested(value, number)?.map(Value::int).transpose().map(Option::unwrap_or_default);
    let (secs, nanos) = (int(1)?, int(2)?);
    Ok(Some(Timestamp::from_nanos(i128::from(secs) * 1_000_000_000 + i128::from(nanos))))
}

/// A duration as Go prints it: `1h30m0s`, `1.5s`, `20ms`.
fn duration(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = |unit: u64| format!("{}", size as f64 / unit as f64);
    match size {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(1_000_000)),
        _ => {
            let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
            let secs = rest as f64 / 1e9;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{secs}s"),
                (0, minutes) => format!("{sign}{minutes}m{secs}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{secs}s"),
            }
        }
    }
}
