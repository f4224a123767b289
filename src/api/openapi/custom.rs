//! Definitions of custom resources: their own schemas, as their authors wrote them.

use crate::object::tree::{Map, Tree, json};
use crate::resources::{Resource, ResourceVersion, SchemaRef};

use super::Form;
use super::definitions::Definitions;
use super::descriptions::ANY_KIND;

/// A list like any other: what all lists have in common is found for it.
const ANY_LIST: &str = "api.core.v1.PodList";
/// What version 2 has no words for.
const V3_ONLY: &[&str] = &["nullable", "oneOf", "anyOf", "allOf", "not"];
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The schema as it was written, in JSON.
pub fn source(schema: &SchemaRef) -> Option<&str> {
    match schema {
        SchemaRef::Named(_) => None,
        SchemaRef::Own(types, _) => types.source.as_deref(),
    }
}

/// `com.example.stable.v1.CronTab`: the group's parts turned round, version, kind.
pub fn name(resource: &Resource, at: &ResourceVersion, kind: &str) -> String {
    let group: Vec<&str> = resource.group.rsplit('.').collect();
    format!("{}.{}.{kind}", group.join("."), at.name)
}

/// Adds the definitions of a custom kind and its list.
pub fn describe(needed: &mut Definitions<'_>, resource: &Resource, at: &ResourceVersion) {
    let form = needed.form;
    let written = source(&at.schema).and_then(|text| serde_json::from_str(text).ok());
    let mut definition: Tree = written.unwrap_or_else(|| json!({"type": "object"}));
    let keeps_all = definition.get("x-kubernetes-preserve-unknown-fields") == Some(&Tree::Bool(true));
    let anything = form == Form::V2 && keeps_all;
    if anything {
        // Clients that check with version 2 take every field that is told for the only ones there are.
        definition = json!({"type": "object"});
    } else if form == Form::V2 {
        definition = as_v2(definition, true);
    }
    let common = |needed: &Definitions<'_>, kind: &str, meta: &str| {
        let mut fields = ["apiVersion", "kind"].map(|field| (field, json!({"type": "string"}))).to_vec();
        fields.push(("metadata", reference(form, meta)));
        for (field, property) in &mut fields {
            if let Some(text) = needed.meaning(kind, field) {
                property["description"] = text.into();
            }
        }
        fields
    };
    if let Tree::Object(map) = &mut definition {
        if !anything
            && let Tree::Object(properties) = map.entry("properties").or_insert_with(|| Tree::Object(Map::new()))
        {
            properties.extend(common(needed, ANY_KIND, "ObjectMeta"));
        }
        map.insert("x-kubernetes-group-version-kind".into(), kinds(resource, at, &resource.kind));
    }
    let item = name(resource, at, &resource.kind);
    let mut list = json!({
        "type": "object",
        "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
        "required": ["items"],
        "properties": {
            "items": {
                "description": format!("List of {}.", resource.plural),
                "type": "array",
                "items": form.reference(&item),
            },
        },
        "x-kubernetes-group-version-kind": kinds(resource, at, &resource.list_kind),
    });
    for (name, value) in common(needed, ANY_LIST, "ListMeta") {
        list["properties"][name] = value;
    }
    needed.insert(item, definition);
    needed.insert(name(resource, at, &resource.list_kind), list);
    needed.add("apimachinery.pkg.apis.meta.v1.ObjectMeta");
    needed.add("apimachinery.pkg.apis.meta.v1.ListMeta");
}

fn reference(form: Form, kind: &str) -> Tree {
    let reference = form.reference(&format!("{META}.{kind}"));
    match form {
        Form::V2 => reference,
        Form::V3 => json!({"allOf": [reference]}),
    }
}

fn kinds(resource: &Resource, at: &ResourceVersion, kind: &str) -> Tree {
    json!([{"group": resource.group, "kind": kind, "version": at.name}])
}

/// A schema in the words of version 2, for clients that check with it: what it cannot say, it allows.
fn as_v2(schema: Tree, is_root: bool) -> Tree {
    let Tree::Object(mut map) = schema else { return schema };
    let is_set = |map: &Map, key: &str| map.get(key) == Some(&Tree::Bool(true));
    let keeps_all = is_set(&map, "x-kubernetes-preserve-unknown-fields");
    if is_set(&map, "x-kubernetes-int-or-string") || is_set(&map, "nullable") {
        map.remove("type");
    }
    if keeps_all {
        map.remove("items");
        map.remove("properties");
        if !is_root {
            map.remove("type");
        }
    }
    V3_ONLY.iter().for_each(|key| drop(map.remove(*key)));
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.remove(key) {
            map.insert(key.into(), as_v2(inner, false));
        }
    }
    if let Some(Tree::Object(properties)) = map.remove("properties") {
        let properties = properties.into_iter().map(|(name, inner)| (name, as_v2(inner, false)));
        map.insert("properties".into(), Tree::Object(properties.collect()));
    }
    Tree::Object(map)
}
