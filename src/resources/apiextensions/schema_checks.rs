//! The schema of a CRD's version.

use std::collections::BTreeSet;

use super::costs::{Around, Step, Total};
use super::{expressions, structural};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const ROOT_FIELDS: [&str; 22] = [
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// `validation` holds `openAPIV3Schema`.
pub fn check_validation(validation: &At, has_status: bool, errors: &mut FieldErrors) {
    let schema = validation.child("openAPIV3Schema");
    if !schema.exists() {
        return;
    }
    if has_status {
        check_root_fields(&schema, errors);
    }
    if schema.child("nullable").flag() {
        errors.forbidden(schema.path_to("nullable"), "nullable cannot be true at the root");
    }
    let before = errors.list.len();
    structural::check(&schema, errors);
    if errors.list.len() == before {
        super::defaults::check(&schema, errors);
    }
    // Rules are looked at only where there is nothing else to say of the schema.
    let rules = (errors.list.len() == before).then(Around::root);
    let mut total = Total::default();
    check_schema(&schema, &Context { root: true, rules, ..Context::default() }, &mut total, errors);
    total.finish(&schema, errors);
}

fn check_root_fields(schema: &At, errors: &mut FieldErrors) {
    const WITH: &str = "if the status subresource is enabled";
    let kind = schema.child("type");
    if !kind.is_empty() && kind.str() != "object" {
        kind.invalid(errors, format!("only \"object\" is allowed as the type at the root of the schema {WITH}"));
    } else if schema.entries().any(|(field, _)| !ROOT_FIELDS.contains(&field)) {
        let allowed: Vec<String> = ROOT_FIELDS.iter().map(|field| go_name(field)).collect();
        let allowed = allowed.join(" ");
        schema.invalid(errors, format!("only [{allowed}] fields are allowed at the root of the schema {WITH}"));
    }
}

fn go_name(field: &str) -> String {
    match field {
        "x-kubernetes-preserve-unknown-fields" => "XPreserveUnknownFields".to_owned(),
        "x-kubernetes-validations" => "XValidations".to_owned(),
        _ => field[..1].to_uppercase() + &field[1..],
    }
}

#[derive(Clone, Default)]
struct Context {
    root: bool,
    in_metadata: bool,
    /// Why there may be no default.
    no_default: &'static str,
    /// What rules depend on, where they may stand.
    rules: Option<Around>,
}

fn check_schema(schema: &At, context: &Context, total: &mut Total, errors: &mut FieldErrors) {
    if !schema.exists() {
        return;
    }
    let before = errors.list.len();
    check_unsupported(schema, context, errors);
    if schema.child("uniqueItems").flag() {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.forbidden(schema.path_to("uniqueItems"), detail);
    }
    let inner = Context { root: false, rules: None, ..context.clone() };
    let below = |step| context.rules.as_ref().map(|rules| rules.below(schema, step));
    let others = schema.child("additionalProperties");
    if others.exists() {
        if !schema.child("properties").is_empty() && others.value.as_bool() != Some(true) {
            others.forbidden(errors, "additionalProperties and properties are mutual exclusive");
        }
        let no_default = if context.in_metadata {
            "inside additionalProperties applying to object metadata"
        } else {
            context.no_default
        };
        if others.value.is_object() {
            let rules = below(Step::Values);
            check_schema(&others, &Context { no_default, rules, ..inner.clone() }, total, errors);
        }
    }
    let embedded = schema.child("x-kubernetes-embedded-resource").flag();
    for (name, property) in schema.child("properties").entries() {
        let mut its = Context { rules: below(Step::Field), ..inner.clone() };
        if context.root || embedded {
            let top = match name {
                "metadata" => "in top-level metadata",
                "kind" => "in top-level kind",
                "apiVersion" => "in top-level apiVersion",
                _ => "",
            };
            if !top.is_empty() {
                its.in_metadata = true;
                if context.root {
                    its.no_default = top;
                }
            }
        }
        check_schema(&property, &its, total, errors);
    }
    check_schema(&schema.child("not"), &inner, total, errors);
    for list in ["allOf", "oneOf", "anyOf"] {
        schema.child(list).items().for_each(|one| check_schema(&one, &inner, total, errors));
    }
    let rules = below(Step::Items);
    check_schema(&schema.child("items"), &Context { rules, ..inner }, total, errors);
    check_extensions(schema, errors);
    check_map_keys(schema, errors);
    check_rules(schema, errors);
    if let Some(around) = context.rules.as_ref().filter(|_| errors.list.len() == before) {
        expressions::check(schema, around, context.root, total);
    }
}

fn check_unsupported(schema: &At, context: &Context, errors: &mut FieldErrors) {
    let kind = schema.child("type");
    if !kind.is_empty() && !TYPES.contains(&kind.str()) {
        kind.not_supported(errors, &TYPES);
    }
    if schema.has("default") && !context.no_default.is_empty() {
        errors.forbidden(schema.path_to("default"), format!("must not be set {}", context.no_default));
    }
    for field in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        if schema.has(field) && !schema.child(field).is_empty() {
            errors.forbidden(schema.path_to(field), format!("{field} is not supported"));
        }
    }
    if kind.str() == "null" {
        kind.forbidden(errors, "type cannot be set to null, use nullable as an alternative");
    }
    if schema.child("items").value.is_array() {
        errors.forbidden(schema.path_to("items"), "items must be a schema object and not an array");
    }
    let embedded = schema.child("x-kubernetes-embedded-resource");
    if context.in_metadata && embedded.flag() {
        embedded.forbidden(errors, "must not be used inside of resource meta");
    }
}

/// A field that only goes with one type.
fn needs_type(schema: &At, field: &str, wanted: &str, errors: &mut FieldErrors) -> bool {
    let kind = schema.child("type");
    if !schema.has(field) || kind.str() == wanted {
        return false;
    }
    let detail = format!("must be {wanted} if {field} is specified");
    if kind.is_empty() {
        kind.required(errors, &detail)
    } else {
        kind.invalid(errors, detail)
    }
    true
}

fn check_extensions(schema: &At, errors: &mut FieldErrors) {
    let preserve = schema.child("x-kubernetes-preserve-unknown-fields");
    if preserve.exists() && !preserve.flag() {
        preserve.invalid(errors, "must be true or undefined");
    }
    needs_type(schema, "x-kubernetes-map-type", "object", errors);
    let map = schema.child("x-kubernetes-map-type");
    if map.exists() && !["atomic", "granular"].contains(&map.str()) {
        map.not_supported(errors, &["atomic", "granular"]);
    }
    let list = schema.child("x-kubernetes-list-type");
    let items = schema.child("items");
    if !needs_type(schema, "x-kubernetes-list-type", "array", errors) && list.str() == "set" {
        let field = match items.text("type") {
            "array" => "x-kubernetes-list-type",
            "object" => "x-kubernetes-map-type",
            _ => "",
        };
        let found = items.child(field);
        let is_list = field == "x-kubernetes-list-type";
        if !field.is_empty() && found.str() != "atomic" && !(is_list && !found.exists()) {
            let shown = items.child("x-kubernetes-list-type").value.clone();
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            errors.invalid(&*found.path, shown, detail);
        }
    }
    if list.exists() && !["atomic", "set", "map"].contains(&list.str()) {
        list.not_supported(errors, &["atomic", "set", "map"]);
    }
}

fn check_map_keys(schema: &At, errors: &mut FieldErrors) {
    let (list, keys) = (schema.child("x-kubernetes-list-type"), schema.child("x-kubernetes-list-map-keys"));
    let items = schema.child("items");
    if !keys.is_empty() && list.str() != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        if list.exists() { list.invalid(errors, detail) } else { list.required(errors, detail) }
    }
    if list.str() == "map" {
        const IF_MAP: &str = "if x-kubernetes-list-type is map";
        if keys.is_empty() {
            keys.required(errors, &format!("must not be empty {IF_MAP}"));
        }
        if !items.exists() {
            items.required(errors, &format!("must have a schema {IF_MAP}"));
        } else if items.text("type") != "object" {
            items.child("type").invalid_text(errors, "must be object if parent array's x-kubernetes-list-type is map");
        } else {
            check_keys(&keys, &items, errors);
        }
    }
    if !items.exists() || !["set", "map"].contains(&list.str()) {
        return;
    }
    if items.child("nullable").flag() {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {}", list.str());
        errors.forbidden(items.path_to("nullable"), detail);
    }
    let required = items.child("required");
    for key in keys.items().filter(|_| list.str() == "map") {
        const THIS: &str = "this property is in x-kubernetes-list-map-keys, so it";
        let property = items.child("properties").key(key.str());
        if !property.exists() {
            continue;
        }
        if !property.has("default") && !required.items().any(|name| name.str() == key.str()) {
            let detail = format!("{THIS} must have a default or be a required property");
            errors.required(property.path_to("default"), detail);
        }
        if property.child("nullable").flag() {
            errors.forbidden(property.path_to("nullable"), format!("{THIS} cannot be nullable"));
        }
    }
}

fn check_keys(keys: &At, items: &At, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for key in keys.items() {
        let property = items.child("properties").key(key.str());
        if !property.exists() {
            keys.invalid(errors, "entries must all be names of item properties");
        } else if ["array", "object"].contains(&property.text("type")) {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.invalid(property.path_to("type"), "object", detail);
        }
        if !seen.insert(key.str()) {
            keys.invalid(errors, "must not contain duplicate entries");
        }
    }
}

fn check_rules(schema: &At, errors: &mut FieldErrors) {
    const REASONS: [&str; 4] =
        ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    for rule in schema.child("x-kubernetes-validations").items() {
        let [text, message, expression, path] =
            ["rule", "message", "messageExpression", "fieldPath"].map(|field| rule.child(field));
        let is_blank = |place: &At| !place.is_empty() && place.str().trim().is_empty();
        if text.str().trim().is_empty() {
            text.required(errors, "rule is not specified");
        } else if is_blank(&message) {
            message.invalid(errors, "must be non-empty if specified");
        } else if has_newlines(message.str().trim()) {
            message.invalid(errors, "must not contain line breaks");
        } else if has_newlines(text.str().trim()) && message.is_empty() {
            message.required(errors, "message must be specified if rule contains line breaks");
        }
        if is_blank(&expression) {
            expression.required(errors, "messageExpression must be non-empty if specified");
        }
        let reason = rule.child("reason");
        if reason.exists() && !REASONS.contains(&reason.str()) {
            reason.not_supported(errors, &REASONS);
        }
        if is_blank(&path) {
            path.invalid(errors, "must be non-empty if specified");
        }
        if has_newlines(path.str()) {
            path.invalid(errors, "must not contain line breaks");
        }
        if !path.is_empty() && !expressions::is_field_path(schema, path.str()) {
            path.invalid(errors, "must be a valid path");
        }
    }
}

fn has_newlines(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

/// Whether anything of the versions' schemas could be wrong that was not before.
pub fn is_same(new: &Tree, old: &Tree) -> bool {
    let schemas = |tree: &Tree| -> Vec<Tree> {
        tree.items("spec.versions").iter().filter_map(|version| version.get("schema").cloned()).collect()
    };
    schemas(new) == schemas(old)
}
