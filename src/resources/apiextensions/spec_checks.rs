//! A CRD's names and versions.

use std::collections::BTreeSet;

use super::schema_checks::check_validation;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, json};
use crate::resources::check::At;
use crate::resources::{names, webhooks};

/// What upstream keeps once for all versions if they agree on it, and where.
const SHARED: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

pub fn check_spec(spec: &At, schemas: bool, errors: &mut FieldErrors) {
    check_group(&spec.child("group"), errors);
    spec.child("scope").one_of(errors, &["Cluster", "Namespaced"]);
    let versions = spec.child("versions");
    for version in versions.items().filter(|version| !version.has("schema.openAPIV3Schema")) {
        errors.required(version.path_to("schema.openAPIV3Schema"), "");
    }
    let shared = SHARED.map(|(field, _)| {
        let mut values = versions.items().map(|version| version.child(field).value);
        let first = values.next();
        values.all(|value| Some(value) == first)
    });
    let (mut seen, mut unique) = (BTreeSet::new(), true);
    for version in versions.items() {
        let name = version.child("name");
        unique &= seen.insert(name.str());
        join(&name, names::is_dns1035_label(name.str()), "", errors);
        check_deprecation(&version, errors);
        let has_status = version.has("subresources.status");
        for (i, (field, _)) in SHARED.into_iter().enumerate().filter(|&(i, _)| !shared[i]) {
            check_part(i, &version.child(field), has_status, schemas, errors);
        }
    }
    if !unique {
        errors.invalid_shown(&*versions.path, &shown(&versions, &shared), "must contain unique version names");
    }
    if versions.items().filter(|version| version.child("storage").flag()).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.invalid_shown(&*versions.path, &shown(&versions, &shared), detail);
    }
    if let Some(first) = versions.items().next() {
        let name = At::new(first.child("name").value, spec.path_to("version"));
        join(&name, names::is_dns1035_label(name.str()), "", errors);
    }
    let given = spec.child("names");
    for field in ["plural", "singular", "kind", "listKind"] {
        if given.text(field).is_empty() {
            errors.required(given.path_to(field), "");
        }
    }
    check_names(&given, errors);
    if let Some(first) = versions.items().next() {
        let has_status = versions.items().any(|version| version.has("subresources.status"));
        for (i, (field, top)) in SHARED.into_iter().enumerate().filter(|&(i, _)| shared[i]) {
            let place = At::new(first.child(field).value, spec.path_to(top));
            check_part(i, &place, has_status, schemas, errors);
        }
    }
    check_conversion(&spec.child("conversion"), errors);
}

/// The versions as upstream's internal type has them.
fn shown(versions: &At, shared: &[bool; 4]) -> String {
    let own = |version: &At, i: usize| if shared[i] { Tree::Null } else { version.child(SHARED[i].0).value.clone() };
    let list = versions.items().map(|version| {
        let (name, deprecated) = (json!(version.text("name")), json!(version.child("deprecated").flag()));
        let (served, storage) = (json!(version.child("served").flag()), json!(version.child("storage").flag()));
        let warning = version.child("deprecationWarning").value;
        format!(
            "{{\"Name\":{name},\"Served\":{served},\"Storage\":{storage},\"Deprecated\":{deprecated},\
             \"DeprecationWarning\":{warning},\"Schema\":{},\"Subresources\":{},\"AdditionalPrinterColumns\":{},\
             \"SelectableFields\":{}}}",
            own(&version, 0),
            own(&version, 1),
            own(&version, 2),
            own(&version, 3),
        )
    });
    format!("[{}]", list.collect::<Vec<_>>().join(","))
}

fn check_part(which: usize, place: &At, has_status: bool, schemas: bool, errors: &mut FieldErrors) {
    match which {
        0 if schemas => check_validation(place, has_status, errors),
        0 => {}
        1 => check_scale(&place.child("scale"), errors),
        2 => place.items().for_each(|column| check_column(&column, errors)),
        _ => check_selectable(place, errors),
    }
}

/// All complaints about one text as one error.
fn join(place: &At, complaints: Vec<String>, intro: &str, errors: &mut FieldErrors) {
    if !complaints.is_empty() {
        place.invalid_text(errors, format!("{intro}{}", complaints.join(",")));
    }
}

fn check_group(group: &At, errors: &mut FieldErrors) {
    let complaints = names::is_dns1123_subdomain(group.str());
    if group.is_empty() {
        group.required(errors, "");
    } else if !complaints.is_empty() {
        join(group, complaints, "", errors);
    } else if !group.str().contains('.') {
        group.invalid(errors, "should be a domain with at least one dot");
    }
}

fn check_deprecation(version: &At, errors: &mut FieldErrors) {
    const MAX: usize = 256;
    let warning = version.child("deprecationWarning");
    if !warning.exists() {
        return;
    }
    if !version.child("deprecated").flag() {
        return warning.invalid(errors, "can only be set for deprecated versions");
    }
    if warning.str().len() > MAX {
        warning.invalid(errors, format!("must be <= {MAX} characters long"));
    }
    if warning.is_empty() {
        warning.invalid(errors, "must not be an empty string");
    }
    if let Some((i, _)) = warning.str().char_indices().find(|(_, c)| c.is_control()) {
        let detail = "must only contain printable UTF-8 characters; non-printable character found at index";
        warning.invalid(errors, format!("{detail} {i}"));
    }
}

/// The names that are asked for, or those that were accepted.
pub fn check_names(given: &At, errors: &mut FieldErrors) {
    const MIXED: &str = "may have mixed case, but should otherwise match: ";
    for field in ["plural", "singular"] {
        let place = given.child(field);
        if !place.is_empty() {
            join(&place, names::is_dns1035_label(place.str()), "", errors);
        }
    }
    for field in ["kind", "listKind"] {
        let place = given.child(field);
        if !place.is_empty() {
            join(&place, names::is_dns1035_label(&place.str().to_lowercase()), MIXED, errors);
        }
    }
    let complain = |list: &str, errors: &mut FieldErrors| {
        for place in given.child(list).items() {
            join(&place, names::is_dns1035_label(place.str()), "", errors);
        }
    };
    complain("shortNames", errors);
    let list = given.child("listKind");
    if !list.is_empty() && list.str() == given.text("kind") {
        list.invalid(errors, "kind and listKind may not be the same");
    }
    complain("categories", errors);
}

fn check_scale(scale: &At, errors: &mut FieldErrors) {
    if !scale.exists() {
        return;
    }
    for (field, roots, where_) in [
        ("specReplicasPath", [".spec.", ".spec."], ".spec"),
        ("statusReplicasPath", [".status.", ".status."], ".status"),
        ("labelSelectorPath", [".spec.", ".status."], "either .spec or .status"),
    ] {
        let path = scale.child(field);
        if path.is_empty() {
            if field != "labelSelectorPath" {
                path.required(errors, "");
            }
        } else if !path.str().starts_with('.') {
            path.invalid(errors, "must be a simple json path starting with .");
        } else if !roots.iter().any(|root| path.str().starts_with(root)) {
            path.invalid(errors, format!("should be a json path under {where_}"));
        }
    }
}

fn check_column(column: &At, errors: &mut FieldErrors) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    let [name, kind, format] = ["name", "type", "format"].map(|field| column.child(field));
    if name.is_empty() {
        name.required(errors, "");
    }
    let one_of = format!("must be one of {}", TYPES.join(","));
    if kind.is_empty() {
        kind.required(errors, &one_of);
    } else if !TYPES.contains(&kind.str()) {
        kind.invalid(errors, one_of);
    }
    if !format.is_empty() && !FORMATS.contains(&format.str()) {
        format.invalid(errors, format!("must be one of {}", FORMATS.join(",")));
    }
    let path = At::new(column.child("jsonPath").value, column.path_to("JSONPath"));
    if path.is_empty() {
        path.required(errors, "");
    } else if !path.str().starts_with('.') {
        path.invalid(errors, "must be a simple json path starting with .");
    }
}

fn check_selectable(fields: &At, errors: &mut FieldErrors) {
    const MAX: usize = 8;
    let mut seen = BTreeSet::new();
    for field in fields.items() {
        let path = field.child("jsonPath");
        if path.is_empty() {
            path.required(errors, "");
            continue;
        }
        if path.str().trim_start_matches('.').split('.').next() == Some("metadata") {
            path.invalid(errors, "must not point to fields in metadata");
        }
        if !seen.insert(path.str()) {
            path.duplicate(errors);
        }
    }
    if seen.len() > MAX {
        errors.too_many(&*fields.path, seen.len(), MAX);
    }
}

fn check_conversion(conversion: &At, errors: &mut FieldErrors) {
    const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
    conversion.child("strategy").one_of(errors, &["None", "Webhook"]);
    let client = At::new(conversion.child("webhook.clientConfig").value, conversion.path_to("webhookClientConfig"));
    let path = conversion.path_to("conversionReviewVersions");
    let versions = At::new(conversion.child("webhook.conversionReviewVersions").value, path);
    if conversion.text("strategy") != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        for place in [&client, &versions] {
            if place.exists() && (place.value.is_object() || !place.is_empty()) {
                place.forbidden(errors, detail);
            }
        }
        return;
    }
    if client.exists() {
        webhooks::check_client(&client, errors);
    } else {
        client.required(errors, "required when strategy is set to Webhook");
    }
    if versions.is_empty() {
        return versions.required(errors, "");
    }
    let mut seen = BTreeSet::new();
    for version in versions.items() {
        if seen.insert(version.str()) {
            version.format(errors, names::is_dns1035_label(version.str()));
        } else {
            version.invalid(errors, "duplicate version");
        }
    }
    if !VERSIONS.iter().any(|version| seen.contains(version)) {
        versions.invalid(errors, format!("must include at least one of {}", VERSIONS.join(", ")));
    }
}
