//! Lists that are sets or maps hold nothing twice.

use std::collections::HashSet;

use super::props::Props;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;

/// Complains of what stands twice in a list of type `set` or `map`, at any depth.
pub fn check_lists(value: &Tree, schema: &Props, path: &str, errors: &mut FieldErrors) {
    match value {
        Tree::Object(map) => {
            for (key, inner) in map {
                let here = match schema.properties.get(key.as_str()) {
                    Some(_) if path.is_empty() => key.to_string(),
                    Some(_) => format!("{path}.{key}"),
                    None => format!("{path}[{key}]"),
                };
                if let Some(child) = schema.child(key) {
                    check_lists(inner, child, &here, errors);
                }
            }
        }
        Tree::Array(list) => {
            match schema.list_type.as_str() {
                "set" => check_unique(list.iter().cloned(), path, errors),
                "map" => check_unique(list.iter().map(|item| keys_of(item, schema)), path, errors),
                _ => (),
            }
            if let Some(items) = &schema.items {
                for (at, item) in list.iter().enumerate() {
                    check_lists(item, items, &format!("{path}[{at}]"), errors);
                }
            }
        }
        _ => (),
    }
}

fn check_unique(items: impl Iterator<Item = Tree>, path: &str, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for (at, item) in items.enumerate() {
        if !seen.insert(item.to_string()) {
            errors.duplicate(format!("{path}[{at}]"), item);
        }
    }
}

/// The fields of `item` that tell it from others.
fn keys_of(item: &Tree, schema: &Props) -> Tree {
    let keys = schema.list_map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Tree::Object(keys.collect())
}
