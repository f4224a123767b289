//! What makes a schema structural: every value has a type, which is said where the value is.

use crate::object::field::FieldErrors;
use crate::object::schema::custom::compile_pattern;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::At;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Complaints come in the order of their texts.
pub fn check(schema: &At, errors: &mut FieldErrors) {
    if !is_readable(schema) {
        return; // which is complained about elsewhere
    }
    let mut found = FieldErrors::default();
    check_level(schema, Level::Root, &mut found);
    check_complete(schema, schema, &mut found);
    found.list.sort_by_key(|error| format!("{}: {}", error.field, error.body));
    errors.list.extend(found.list);
}

fn is_readable(schema: &At) -> bool {
    const FOREIGN: [&str; 6] = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];
    if !schema.value.is_object() {
        return true; // nothing here, and nothing below
    }
    if FOREIGN.iter().any(|field| schema.value.get(field).is_some_and(|value| !value.is_null())) {
        return false;
    }
    let lists = ["allOf", "anyOf", "oneOf"];
    ["items", "additionalProperties", "not"].iter().all(|field| is_readable(&schema.child(field)))
        && lists.iter().all(|list| schema.child(list).items().all(|one| is_readable(&one)))
        && schema.child("properties").entries().all(|(_, property)| is_readable(&property))
}

fn check_level(schema: &At, level: Level, errors: &mut FieldErrors) {
    if !schema.value.is_object() {
        return;
    }
    let (kind, items) = (schema.child("type"), schema.child("items"));
    if kind.str() == "array" && !items.exists() {
        items.required(errors, "must be specified");
    }
    check_level(&items, Level::Item, errors);
    let properties = schema.child("properties");
    for (_, property) in properties.entries() {
        check_level(&property, Level::Field, errors);
    }
    let others = schema.child("additionalProperties");
    if others.exists() && level == Level::Root {
        others.forbidden(errors, "must not be used at the root");
    }
    check_level(&others, Level::Field, errors);
    let [int_or_string, preserve, embedded] =
        ["int-or-string", "preserve-unknown-fields", "embedded-resource"].map(|name| extension(schema, name));
    if int_or_string.flag() {
        for other in [&preserve, &embedded].into_iter().filter(|other| other.flag()) {
            other.invalid(errors, "must be false if x-kubernetes-int-or-string is true");
        }
    }
    check_values(schema, is_int_or_string(schema.value), first_all_of(schema.value), errors);
    check_type(schema, level, errors);
    if embedded.flag() && others.exists() {
        others.forbidden(errors, "must not be used if x-kubernetes-embedded-resource is set");
    }
    let is_object = level == Level::Root || embedded.flag();
    for name in ["kind", "apiVersion"] {
        let property = properties.key(name);
        if is_object && property.exists() && property.text("type") != "string" {
            property.child("type").invalid_text(errors, "must be string");
        }
    }
    let metadata = properties.key("metadata");
    if metadata.exists() {
        check_metadata(&metadata, is_object, level, errors);
    }
    if embedded.flag() && !preserve.flag() && properties.is_empty() {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        properties.required(errors, detail);
    }
}

fn extension<'t>(schema: &At<'t>, name: &str) -> At<'t> {
    schema.child(&format!("x-kubernetes-{name}"))
}

fn check_type(schema: &At, level: Level, errors: &mut FieldErrors) {
    let kind = schema.child("type");
    let untyped = extension(schema, "int-or-string").flag() || extension(schema, "preserve-unknown-fields").flag();
    if extension(schema, "embedded-resource").flag() && kind.str() != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() { kind.required(errors, detail) } else { kind.invalid(errors, detail) }
    } else if kind.is_empty() && !untyped {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        kind.required(errors, detail);
    }
    if level == Level::Root && !kind.is_empty() && kind.str() != "object" {
        kind.invalid(errors, "must be object at the root");
    }
}

fn check_metadata(metadata: &At, is_object: bool, level: Level, errors: &mut FieldErrors) {
    if is_object && metadata.text("type") != "object" {
        metadata.child("type").invalid_text(errors, "must be object");
    }
    let named = metadata.child("properties").entries().all(|(name, _)| ["name", "generateName"].contains(&name));
    let mut fields = metadata.entries().map(|(field, _)| field);
    if level == Level::Root && !(named && fields.all(|field| ["type", "properties", "default"].contains(&field))) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        metadata.forbidden(errors, detail);
    }
}

fn is_int_or_string(schema: &Tree) -> bool {
    schema.get("anyOf") == Some(&json!([{"type": "integer"}, {"type": "string"}]))
}

fn first_all_of(schema: &Tree) -> bool {
    schema.items("allOf").first().is_some_and(is_int_or_string)
}

fn check_values(schema: &At, skip_any: bool, skip_first: bool, errors: &mut FieldErrors) {
    if !skip_any {
        schema.child("anyOf").items().for_each(|one| check_nested(&one, false, errors));
    }
    for (i, one) in schema.child("allOf").items().enumerate() {
        check_nested(&one, skip_first && i == 0, errors);
    }
    schema.child("oneOf").items().for_each(|one| check_nested(&one, false, errors));
    check_nested(&schema.child("not"), false, errors);
    let pattern = schema.child("pattern");
    if let Err(error) = compile_pattern(pattern.str()) {
        let why = go_regex_error(&error.to_string(), pattern.str());
        pattern.invalid(errors, format!("must be a valid regular expression, but isn't: {why}"));
    }
}

/// Go's words for the mistakes that are made most.
fn go_regex_error(error: &str, pattern: &str) -> String {
    let what = [
        ("unclosed group", "missing closing )"),
        ("unopened group", "unexpected )"),
        ("unclosed character class", "missing closing ]"),
        ("repetition operator missing expression", "missing argument to repetition operator"),
        ("invalid escape", "invalid escape sequence"),
    ];
    let words =
        what.iter().find(|(ours, _)| error.contains(ours)).map_or("invalid or unsupported Perl syntax", |w| w.1);
    format!("error parsing regexp: {words}: `{pattern}`")
}

/// Under `allOf`, `anyOf`, `oneOf` and `not` values are only checked, not described.
fn check_nested(schema: &At, skip_any: bool, errors: &mut FieldErrors) {
    if !schema.value.is_object() {
        return;
    }
    check_values(schema, skip_any, false, errors);
    check_nested(&schema.child("items"), false, errors);
    let properties = schema.child("properties");
    for (_, property) in properties.entries() {
        check_nested(&property, false, errors);
    }
    for field in ["type", "title", "description"] {
        if !schema.child(field).is_empty() {
            errors.forbidden(schema.path_to(field), "must be empty to be structural");
        }
    }
    for field in ["additionalProperties", "default"] {
        if schema.has(field) {
            errors.forbidden(schema.path_to(field), "must be undefined to be structural");
        }
    }
    if schema.child("nullable").flag() {
        errors.forbidden(schema.path_to("nullable"), "must be false to be structural");
    }
    for name in ["preserve-unknown-fields", "embedded-resource", "int-or-string"] {
        if extension(schema, name).flag() {
            extension(schema, name).forbidden(errors, "must be false to be structural");
        }
    }
    for (name, detail) in [
        ("list-map-keys", "must be empty to be structural"),
        ("list-type", "must be undefined to be structural"),
        ("map-type", "must be undefined to be structural"),
        ("validations", "must be empty to be structural"),
    ] {
        let place = extension(schema, name);
        if !place.is_empty() {
            place.forbidden(errors, detail);
        }
    }
    if properties.key("metadata").exists() {
        properties.key("metadata").forbidden(errors, "must not be specified in a nested context");
    }
}

/// What is checked under `allOf` and the like has to be described outside of it.
fn check_complete(checked: &At, described: &At, errors: &mut FieldErrors) {
    let branches = |schema: &At| -> Vec<Tree> {
        let mut all: Vec<Tree> =
            ["allOf", "anyOf", "oneOf"].iter().flat_map(|list| schema.value.items(list).to_vec()).collect();
        all.extend(schema.value.get("not").cloned());
        all
    };
    for branch in branches(checked) {
        let branch = At::new(&branch, "");
        for (name, property) in branch.child("properties").entries() {
            let place = described.child("properties").key(name);
            if !place.exists() {
                let detail = "because it is defined in a nested schema";
                place.required(errors, detail);
            } else {
                check_complete(&property, &place, errors);
            }
        }
        check_complete(&branch, described, errors);
    }
}
