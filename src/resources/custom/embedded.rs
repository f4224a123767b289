//! Objects inside of custom objects: they are complete, and their metadata is in order.

use crate::object::field::FieldErrors;
use crate::object::schema::custom::Props;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::labels::{check_annotations, check_labels};
use crate::resources::names;

/// Checks every object that the schema calls an embedded resource.
pub fn check(object: &Tree, schema: &Props, errors: &mut FieldErrors) {
    walk(&At::root(object), schema, errors);
}

fn walk(at: &At<'_>, schema: &Props, errors: &mut FieldErrors) {
    if schema.embedded && at.value.is_object() {
        check_one(at, errors);
    }
    match at.value {
        Tree::Object(map) => {
            for (key, value) in map {
                let Some(child) = schema.child(key) else { continue };
                let path = match schema.properties.contains_key(key.as_str()) {
                    true => at.path_to(key),
                    false => format!("{}[{key}]", at.path),
                };
                walk(&At::new(value, path), child, errors);
            }
        }
        Tree::Array(_) => {
            if let Some(items) = &schema.items {
                at.items().for_each(|item| walk(&item, items, errors));
            }
        }
        _ => (),
    }
}

fn check_one(at: &At<'_>, errors: &mut FieldErrors) {
    let api_version = at.child("apiVersion");
    match api_version.value.as_str() {
        None if !api_version.exists() => api_version.required(errors, ""),
        None => api_version.invalid(errors, "must be a string"),
        Some("") => api_version.invalid_text(errors, "must not be empty"),
        Some(text) if text.matches('/').count() > 1 => {
            api_version.invalid_text(errors, format!("unexpected GroupVersion string: {text}"));
        }
        Some(_) => (),
    }
    let kind = at.child("kind");
    match kind.value.as_str() {
        None if !kind.exists() => kind.required(errors, ""),
        None => kind.invalid(errors, "must be a string"),
        Some("") => kind.invalid_text(errors, "must not be empty"),
        Some(text) => {
            for complaint in names::is_dns1035_label(&text.to_lowercase()) {
                let why = format!("may have mixed case, but should otherwise match: {complaint}");
                kind.invalid_text(errors, why);
            }
        }
    }
    let meta = at.child("metadata");
    if meta.value.has("labels") {
        check_labels(&meta.child("labels"), errors);
    }
    if meta.value.has("annotations") {
        check_annotations(&meta.child("annotations"), errors);
    }
}
