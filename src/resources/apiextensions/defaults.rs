//! What is inside of a schema: defaults that fit it, and rules in CEL that compile.

use crate::object::cel::unescape;
use crate::object::field::{Complaint, FieldErrors};
use crate::object::schema::custom::{Props, Rule, check_lists, prune, validate};
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
    for mut error in found.0 {
        error.field = match error.field.as_str() {
            "<nil>" => place.to_owned(),
            inner if inner.starts_with('[') => format!("{place}{inner}"),
            inner => format!("{place}.{inner}"),
        };
        errors.0.push(error);
    }
}

/// Compiles the rules that stand at one place of a schema.
pub fn check_expressions(schema: &At, is_root: bool, errors: &mut FieldErrors) {
    if schema.child("x-kubernetes-validations").is_empty() {
        return;
    }
    let Some(props) = Props::read(schema.value) else { return };
    for (at, rule) in props.validations.iter().enumerate().filter(|(_, rule)| !rule.rule.trim().is_empty()) {
        let compiled = rule.compiled().rule.as_ref().map_err(Clone::clone);
        let checked = compiled.and_then(|program| {
            program.check_fields(&rule.rule, "self", &|path| is_field(&props, path, is_root))?;
            program.check_fields(&rule.rule, "oldSelf", &|path| {
                rule.optional_old_self == Some(true) || is_field(&props, path, is_root)
            })
        });
        if let Err(why) = checked {
            let place = format!("{}.x-kubernetes-validations[{at}].rule", schema.path);
            errors.push(Complaint::Invalid, place, format!("{}: compilation failed: {why}", shown(rule)), None);
        }
    }
}

/// A rule as upstream shows it: its Go type as JSON, fields in their order.
fn shown(rule: &Rule) -> String {
    let text = |text: &str| Tree::from(text).to_string();
    let quoted = format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text(&rule.rule),
        text(&rule.message),
        text(&rule.message_expression),
        rule.reason.as_deref().map_or("null".into(), text),
        text(&rule.field_path),
        rule.optional_old_self.map_or("null".into(), |flag| flag.to_string()),
    );
    quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Whether values of a schema may have what is at `path`; what the schema leaves open may be there.
fn is_field(schema: &Props, path: &[&str], is_root: bool) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let name = unescape(first);
    if is_root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
        return !matches!(rest, [field, ..] if name == "metadata" && !matches!(*field, "name" | "generateName"));
    }
    if schema.r#type != "object" || schema.embedded {
        return schema.r#type.is_empty() || schema.embedded;
    }
    match schema.properties.get(name.as_str()).or_else(|| schema.properties.get(*first)).or_else(|| schema.values()) {
        Some(child) => is_field(child, rest, false),
        None => schema.additional_properties.is_some(),
    }
}
