//! What is kept of a custom object, and what is put in: pruning, nulls, defaults, metadata.
//!
//! In upstream's order: unknown fields go, `null`s that mean nothing go, absent fields with a default
//! take it. `apiVersion`, `kind` and `metadata` of the object, and of objects embedded in it, are
//! always known.

use super::super::decode::{DecodeError, decode};
use super::super::table::builtin;
use super::props::Props;
use crate::object::codec::json::to_json;
use crate::object::tree::{Map, Tree};

const OBJECT_META: &str = "apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What happened to an object.
#[derive(Debug, Default, PartialEq)]
pub struct Settled {
    /// `unknown field "spec.x"`, as strict decoding tells it.
    pub complaints: Vec<String>,
}

/// Prunes `object`, takes meaningless nulls out of it and puts defaults in.
///
/// Fails when its metadata is not of the right shape.
pub fn settle(object: &mut Tree, schema: &Props) -> Result<Settled, DecodeError> {
    let mut settled = Settled::default();
    if let Some(map) = object.as_object_mut() {
        coerce_metadata(map, &mut settled.complaints)?;
    }
    prune_value(object, schema, true, "", &mut settled.complaints);
    default_value(object, schema);
    Ok(settled)
}

/// Takes away what the schema does not know, such as fields that another version had.
pub fn prune(object: &mut Tree, schema: &Props) {
    prune_value(object, schema, true, "", &mut Vec::new());
}

/// Reads the metadata as what it has to be.
fn coerce_metadata(object: &mut Map, complaints: &mut Vec<String>) -> Result<(), DecodeError> {
    let (Some(meta), Some(schema)) = (object.get_mut("metadata"), builtin().named(OBJECT_META)) else { return Ok(()) };
    let decoded = decode(&to_json(meta, None), schema)?;
    complaints.extend(decoded.complaints.iter().map(|complaint| complaint.replacen('"', "\"metadata.", 1)));
    *meta = if decoded.tree.is_object() { decoded.tree } else { Tree::Object(Map::new()) };
    Ok(())
}

fn prune_value(value: &mut Tree, schema: &Props, is_resource: bool, path: &str, complaints: &mut Vec<String>) {
    match value {
        Tree::Object(map) => {
            let keeps = schema.preserve || (schema.additional_properties.is_some() && schema.values().is_none());
            let is_known = |key: &str| {
                keeps
                    || schema.child(key).is_some()
                    || (is_resource && matches!(key, "apiVersion" | "kind" | "metadata"))
            };
            map.retain(|key, _| {
                let known = is_known(key);
                if !known {
                    complaints.push(format!("unknown field {:?}", join(path, key)));
                }
                known
            });
            if is_resource && !path.is_empty() {
                prune_embedded_metadata(map, path, complaints);
            }
            for (key, inner) in map.iter_mut() {
                if is_resource && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                if let Some(child) = schema.child(key) {
                    prune_value(inner, child, child.embedded, &join(path, key), complaints);
                }
            }
        }
        Tree::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (at, item) in list.iter_mut().enumerate() {
                prune_value(item, items, items.embedded, &format!("{path}[{at}]"), complaints);
            }
        }
        _ => (),
    }
}

/// As far as it can be read; what cannot is left for validation to complain of.
fn prune_embedded_metadata(map: &mut Map, path: &str, complaints: &mut Vec<String>) {
    let (Some(meta), Some(schema)) = (map.get_mut("metadata"), builtin().named(OBJECT_META)) else { return };
    if let Ok(decoded) = decode(&to_json(meta, None), schema)
        && decoded.tree.is_object()
    {
        let prefix = format!("\"{path}.metadata.");
        complaints.extend(decoded.complaints.iter().map(|complaint| complaint.replacen('"', &prefix, 1)));
        *meta = decoded.tree;
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn default_value(value: &mut Tree, schema: &Props) {
    match value {
        Tree::Object(map) => {
            for (name, child) in &schema.properties {
                let is_absent = match map.get(name) {
                    None => true,
                    Some(Tree::Null) => !child.nullable,
                    Some(_) => false,
                };
                match &child.default {
                    Some(default) if is_absent => {
                        map.insert(name.into(), default.clone());
                    }
                    None if is_absent => {
                        map.remove(name);
                    }
                    _ => (),
                }
            }
            if let Some(values) = schema.values() {
                for (_, inner) in map.iter_mut().filter(|(key, _)| !schema.properties.contains_key(key.as_str())) {
                    null_to_default(inner, values);
                }
                if !values.nullable && values.default.is_none() {
                    map.retain(|key, inner| !inner.is_null() || schema.properties.contains_key(key.as_str()));
                }
            }
            for (key, inner) in map.iter_mut() {
                if let Some(child) = schema.child(key) {
                    default_value(inner, child);
                }
            }
        }
        Tree::Array(list) => {
            let Some(items) = &schema.items else { return };
            for item in list {
                null_to_default(item, items);
                default_value(item, items);
            }
        }
        _ => (),
    }
}

fn null_to_default(value: &mut Tree, schema: &Props) {
    if let (Tree::Null, false, Some(default)) = (&*value, schema.nullable, &schema.default) {
        *value = default.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    fn settled(schema: Tree, mut object: Tree) -> (Tree, Vec<String>) {
        let settled = settle(&mut object, &Props::read(&schema).unwrap()).unwrap();
        (object, settled.complaints)
    }

    #[test]
    fn what_the_schema_does_not_know_goes_and_is_told() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "n": {"type": "integer"}, "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}}}}});
        let (object, complaints) = settled(
            schema,
            json!({"kind": "X", "metadata": {"name": "a", "x": 1}, "more": 1,
                "spec": {"n": 1, "m": 2, "free": {"any": null}, "list": [{"a": "1", "b": 2}]}}),
        );
        assert_eq!(
            object,
            json!({"kind": "X", "metadata": {"name": "a"}, "spec": {"n": 1, "free": {"any": null}, "list": [{"a": "1"}]}})
        );
        assert_eq!(
            complaints,
            [
                r#"unknown field "metadata.x""#,
                r#"unknown field "more""#,
                r#"unknown field "spec.m""#,
                r#"unknown field "spec.list[0].b""#
            ]
        );
    }

    #[test]
    fn defaults_replace_absence_and_meaningless_nulls() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "integer", "default": 5}, "b": {"type": "string", "nullable": true, "default": "x"},
            "c": {"type": "string"}, "d": {"type": "object", "default": {}, "properties": {"e": {"type": "boolean", "default": true}}}}});
        let (object, _) = settled(schema, json!({"a": null, "b": null, "c": null}));
        assert_eq!(object, json!({"a": 5, "b": null, "d": {"e": true}}));
    }
}
