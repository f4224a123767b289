//! Defaults in a schema, which must fit it.

use crate::object::field::FieldErrors;
use crate::object::schema::custom::{Props, check_lists, prune, validate};
use crate::object::tree::{Tree, json};
use crate::resources::check::At;

/// Checks every default of a structural schema: it must survive pruning, and be valid.
pub fn check(schema: &At, errors: &mut FieldErrors) {
    if let Some(props) = Props::read(schema.value) {
        walk(&props, &schema.path, true, errors);
    }
}

fn walk(schema: &Props, path: &str, is_root: bool, errors: &mut FieldErrors) {
    if let Some(default) = &schema.default {
        let place = format!("{path}.default");
        match is_root {
            true => errors.forbidden(place, "must not be set at the root"),
            false => check_default(default, schema, &place, errors),
        }
    }
    if let Some(items) = &schema.items {
        walk(items, &format!("{path}.items"), false, errors);
    }
    if let Some(values) = schema.values() {
        walk(values, &format!("{path}.additionalProperties"), false, errors);
    }
    for (name, field) in &schema.properties {
        if !(is_root && matches!(name.as_str(), "metadata" | "apiVersion" | "kind")) {
            walk(field, &format!("{path}.properties[{name}]"), false, errors);
        }
    }
}

fn check_default(default: &Tree, schema: &Props, place: &str, errors: &mut FieldErrors) {
    // Pruned as a part of an object: alone, it would be taken for an object of its own.
    let mut around = Props::default();
    around.r#type = "object".into();
    around.properties.insert("value".into(), schema.clone());
    let mut pruned = json!({ "value": default });
    prune(&mut pruned, &around);
    if pruned["value"] != *default {
        return errors.invalid(place, default.clone(), "must not have unknown fields");
    }
    let mut found = FieldErrors::default();
    validate(default, None, schema, &mut found);
    check_lists(default, schema, "", &mut found);
    for mut error in found.list {
        error.field = match error.field.as_str() {
            "<nil>" => place.to_owned(),
            inner if inner.starts_with('[') => format!("{place}{inner}"),
            inner => format!("{place}.{inner}"),
        };
        errors.list.push(error);
    }
}
