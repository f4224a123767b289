//! What a schema says of the size of values before there are any.
//!
//! Bounds are those that upstream derives: what the schema limits, else what fits into a request.

use std::collections::BTreeMap;

use crate::object::schema::custom::{Additional, Props};

/// Upstream's largest request.
const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// A quoted text takes two of them.
const TEXT_MAX: u64 = REQUEST_BYTES_MAX - 2;
const DATE_BYTES: u64 = 12;
const TIME_BYTES_MAX: u64 = 32;
const TIME_BYTES_MIN: u64 = 21;

/// A value's kind, the size that it has at most, and the bytes that it takes at least.
#[derive(Debug)]
pub struct Decl {
    pub kind: Kind,
    /// Elements, entries or characters; 0 for what has none.
    pub max: u64,
    bytes_min: u64,
}

#[derive(Debug)]
pub enum Kind {
    Dyn,
    Bool,
    /// Numbers, times and durations.
    Scalar,
    String,
    Bytes,
    List(Box<Decl>),
    Map(Box<Decl>),
    Object(BTreeMap<String, Decl>),
}

/// Keys of maps are texts that the schema does not limit.
pub static KEY: Decl = Decl { kind: Kind::String, max: 0, bytes_min: 2 };

impl Decl {
    /// `None` where rules see nothing of the value. A resource has a kind and names even if its schema
    /// does not say so.
    pub fn of(schema: &Props, is_resource: bool) -> Option<Self> {
        if schema.int_or_string {
            return Some(Self {
                kind: Kind::Dyn,
                max: schema.max_length.map_or(TEXT_MAX, |max| max * 4),
                bytes_min: 1,
            });
        }
        let scalar = |bytes_min| Some(Self { kind: Kind::Scalar, max: 0, bytes_min });
        match schema.r#type.as_str() {
            "array" => {
                let items = inner(schema.items.as_deref()?)?;
                let max = schema.max_items.unwrap_or((REQUEST_BYTES_MAX - 2) / (items.bytes_min + 1));
                Some(Self { kind: Kind::List(Box::new(items)), max, bytes_min: 2 })
            }
            "object" => match schema.additional_properties.as_deref() {
                Some(Additional::Schema(values)) if !is_resource => {
                    let values = inner(values)?;
                    let max = schema.max_properties.unwrap_or((REQUEST_BYTES_MAX - 2) / (values.bytes_min + 6));
                    Some(Self { kind: Kind::Map(Box::new(values)), max, bytes_min: 2 })
                }
                _ => Some(Self::object(schema, is_resource)),
            },
            "string" => Some(Self::text(schema)),
            "boolean" => Some(Self { kind: Kind::Bool, max: 0, bytes_min: 4 }),
            "number" | "integer" => scalar(1),
            _ => None,
        }
    }

    fn object(schema: &Props, is_resource: bool) -> Self {
        let mut bytes_min = 2;
        let mut fields = BTreeMap::new();
        for (name, property) in &schema.properties {
            let Some(field) = inner(property) else { continue };
            if property.default.is_none() && schema.required.contains(name) {
                bytes_min += name.len() as u64 + field.bytes_min + 4;
            }
            fields.insert(name.clone(), field);
        }
        if is_resource {
            let text = || Self { kind: Kind::String, max: TEXT_MAX, bytes_min: 2 };
            let names = ["name", "generateName"].map(|name| (name.to_owned(), text()));
            let meta = Self { kind: Kind::Object(names.into()), max: 0, bytes_min: 2 };
            fields.extend([("kind".into(), text()), ("apiVersion".into(), text()), ("metadata".into(), meta)]);
        }
        Self { kind: Kind::Object(fields), max: 0, bytes_min }
    }

    fn text(schema: &Props) -> Self {
        let longest = || schema.r#enum.iter().filter_map(|value| value.as_str()).map(|text| text.len() as u64).max();
        let limited = schema.max_length;
        let (kind, max, bytes_min) = match schema.format.as_str() {
            "byte" => (Kind::Bytes, limited.unwrap_or(TEXT_MAX), 2),
            "duration" => (Kind::Scalar, TIME_BYTES_MAX, 3),
            "date" => (Kind::Scalar, DATE_BYTES, DATE_BYTES),
            "date-time" => (Kind::Scalar, TIME_BYTES_MAX, TIME_BYTES_MIN),
            // A limit counts characters, of which each may take four bytes.
            _ => (Kind::String, limited.map(|max| max.saturating_mul(4)).or_else(longest).unwrap_or(TEXT_MAX), 2),
        };
        Self { kind, max, bytes_min }
    }

    /// How often such a value can be in a request at all.
    pub fn count_max(&self) -> u64 {
        REQUEST_BYTES_MAX / (self.bytes_min + 1)
    }

    pub fn items(&self) -> Option<&Self> {
        match &self.kind {
            Kind::List(inner) | Kind::Map(inner) => Some(inner),
            _ => None,
        }
    }

    pub fn field(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Object(fields) => fields.get(name),
            _ => None,
        }
    }
}

fn inner(schema: &Props) -> Option<Decl> {
    Decl::of(schema, schema.embedded)
}
