//! Objects with their schema, as server-side apply sees them.
//!
//! What has no schema is taken as it comes: maps are merged, lists are replaced as a whole.

use crate::object::schema::{AnyKind, Empty, ListKind, Schema, SchemaOr, Shape, Unknown, is_empty, zero};
use crate::object::tree::{Map, Tree};

use super::set::{Element, Scalar};

/// What kind of value stands somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Scalar,
    /// Owned field by field.
    Map,
    /// Owned element by element.
    List,
    /// A map or list owned as a whole.
    Atomic,
}

/// A place in a schema, or one that no schema describes.
#[derive(Clone, Copy)]
pub struct Place<'t>(pub Option<Schema<'t>>);

impl<'t> Place<'t> {
    /// The kind of what is here, given the value where the schema leaves it open.
    pub fn kind(self, value: Option<&Tree>) -> Kind {
        match self.0.map(Schema::shape) {
            Some(Shape::Struct { atomic, .. } | Shape::Map { atomic, .. }) => {
                if *atomic {
                    Kind::Atomic
                } else {
                    Kind::Map
                }
            }
            Some(Shape::List { kind: ListKind::Atomic, .. }) => Kind::Atomic,
            Some(Shape::List { .. }) => Kind::List,
            Some(Shape::Any(AnyKind::RawExtension)) => Kind::Atomic,
            Some(Shape::Any(AnyKind::FieldsV1)) => Kind::Map,
            None | Some(Shape::Any(_) | Shape::SchemaOr { .. }) => match value {
                Some(Tree::Array(_)) => Kind::Atomic,
                Some(Tree::Object(_) | Tree::Null) | None => Kind::Map,
                Some(_) => Kind::Scalar,
            },
            Some(_) => Kind::Scalar,
        }
    }

    /// The place of a field or map entry.
    pub fn child(self, name: &str) -> Self {
        match self.0.map(|schema| (schema, schema.shape())) {
            Some((schema, Shape::SchemaOr { schema: inner, .. })) => Self(schema.to(*inner).child(name)),
            Some((schema, _)) => Self(schema.child(name)),
            None => Self(None),
        }
    }

    pub fn items(self) -> Self {
        Self(self.0.and_then(Schema::items))
    }

    /// Whether `name` is a field that the schema declares.
    pub fn declares(self, name: &str) -> bool {
        self.0.is_some_and(|schema| schema.field(name).is_some())
    }

    /// How an element of a list is identified.
    pub fn element(self, item: &Tree) -> Result<Element, String> {
        let Some(Shape::List { kind, items, .. }) = self.0.map(Schema::shape) else {
            return Err("invalid indexing of non-associative list".into());
        };
        match kind {
            ListKind::Map(keys) => {
                let items = self.0.map(|schema| schema.to(*items));
                keyed(item, keys, items)
            }
            _ => match item {
                Tree::Object(_) => Err("associative list without keys has an element that's a map type".into()),
                Tree::Array(_) => Err("not supported: associative list with lists as elements".into()),
                Tree::Null => Err("associative list without keys has an element that's an explicit null".into()),
                scalar => Ok(Element::Value(Scalar(scalar.clone()))),
            },
        }
    }

    /// Complains about a value that the schema does not allow, as `path: why` lines.
    pub fn validate(self, value: &Tree, path: &str, duplicates_allowed: bool, errors: &mut Vec<String>) {
        if value.is_null() {
            return;
        }
        let mut complain = |why: String| errors.push(if path.is_empty() { why } else { format!("{path}: {why}") });
        match (self.kind(Some(value)), self.0.map(Schema::shape), value) {
            (_, Some(Shape::List { .. }), Tree::Array(list)) => {
                self.validate_items(list, path, duplicates_allowed, errors);
            }
            (_, Some(Shape::List { .. }), other) => complain(format!("expected list, got {}", show(other))),
            (_, shape @ Some(Shape::Struct { .. } | Shape::Map { .. }), Tree::Object(map)) => {
                for (name, value) in map {
                    let here = format!("{path}.{name}");
                    let keeps = !matches!(shape, Some(Shape::Struct { unknown: Unknown::Prune, .. }));
                    if self.declares(name) || keeps {
                        self.child(name).validate(value, &here, duplicates_allowed, errors);
                    } else {
                        errors.push(format!("{here}: field not declared in schema"));
                        return;
                    }
                }
            }
            (_, Some(Shape::Struct { .. } | Shape::Map { .. }), other) => {
                complain(format!("expected map, got {}", show(other)));
            }
            (Kind::Scalar, Some(shape), value) => {
                if let Some(wanted) = wrong_scalar(shape, value) {
                    complain(format!("expected {wanted}, got {}", show_scalar(value)));
                }
            }
            _ => (),
        }
    }

    fn validate_items(self, list: &[Tree], path: &str, duplicates_allowed: bool, errors: &mut Vec<String>) {
        let is_atomic = self.kind(None) == Kind::Atomic;
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in list.iter().enumerate() {
            let element = if is_atomic { Ok(Element::Index(index as i64)) } else { self.element(item) };
            match element {
                Ok(element) => {
                    self.items().validate(item, &format!("{path}{element}"), duplicates_allowed, errors);
                    if !duplicates_allowed && seen.contains(&element) {
                        errors.push(format!("{path}: duplicate entries for key {element}"));
                    }
                    seen.insert(element);
                }
                Err(why) => {
                    errors.push(format!("{path}: element {index}: {why}"));
                    return;
                }
            }
        }
    }
}

fn keyed(item: &Tree, keys: &[Box<str>], schema: Option<Schema<'_>>) -> Result<Element, String> {
    let map = match item {
        Tree::Object(map) => map,
        Tree::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let value_of = |key: &str| map.get(key).cloned().or_else(|| key_default(schema?, key));
    let fields: Vec<_> = keys.iter().filter_map(|key| Some((key.to_string(), value_of(key)?))).collect();
    if fields.is_empty() {
        let names: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    Ok(Element::key(fields))
}

/// What a key field counts as if an element leaves it out.
fn key_default(schema: Schema<'_>, key: &str) -> Option<Tree> {
    let field = schema.field(key)?;
    match (&field.default, field.empty) {
        (Some(default), _) => Some(Tree::clone(default)),
        (None, Empty::Always) => Some(zero(schema.types, field.node)),
        _ => None,
    }
}

/// What should have been there instead of `value`.
fn wrong_scalar(shape: &Shape, value: &Tree) -> Option<&'static str> {
    let (is_right, wanted) = match shape {
        Shape::String | Shape::Bytes | Shape::Duration => (value.is_string(), "string"),
        Shape::Int32 | Shape::Int64 | Shape::Number => (value.is_number(), "numeric (int or float)"),
        Shape::Bool => (value.is_boolean(), "boolean"),
        Shape::SchemaOr { other: SchemaOr::Bool | SchemaOr::Schemas | SchemaOr::Strings, .. } => (true, ""),
        _ => (!value.is_array() && !value.is_object(), "any scalar"),
    };
    (!is_right).then_some(wanted)
}

/// A value as Go's `%#v` shows what upstream wraps it in.
fn show_scalar(value: &Tree) -> String {
    format!("&value.valueUnstructured{{Value:{}}}", show_go(value))
}

fn show_go(value: &Tree) -> String {
    match value {
        Tree::String(text) => format!("{text:?}"),
        Tree::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(name, value)| format!("{name:?}:{}", show_go(value))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        Tree::Array(list) => {
            format!("[]interface {{}}{{{}}}", list.iter().map(show_go).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A value as Go's `%v` shows what upstream wraps it in.
fn show(value: &Tree) -> String {
    format!("&{{{}}}", show_plain(value))
}

fn show_plain(value: &Tree) -> String {
    match value {
        Tree::String(text) => text.clone(),
        Tree::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(name, value)| format!("{name}:{}", show_plain(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
        Tree::Array(list) => format!("[{}]", list.iter().map(show_plain).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

/// The entries of a map that has any.
pub fn filled_map(value: Option<&Tree>) -> Option<&Map> {
    value.filter(|value| !is_empty(value)).and_then(Tree::as_object)
}

/// The elements of a list that has any.
pub fn filled_list(value: Option<&Tree>) -> Option<&[Tree]> {
    value.filter(|value| !is_empty(value)).and_then(Tree::as_array).map(Vec::as_slice)
}
