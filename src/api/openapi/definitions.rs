//! Definitions of types, from the schema table, and of everything they refer to.

use std::collections::{BTreeMap, HashMap};

use crate::object::schema::types::UPSTREAM_PREFIX;
use crate::object::schema::{
    AnyKind, Empty, Field, ListKind, NodeId, PatchStrategy, Schema, SchemaOr, Shape, Types, builtin,
};
use crate::object::tree::{Map, Tree, json};
use crate::resources::Served;

use super::{Descriptions, Form, Named, group_versions};

/// Types that JSON knows as something simple: name, and how each version of OpenAPI shows them.
const SIMPLE: &[(&str, &str, &str)] = &[
    (
        "apimachinery.pkg.api.resource.Quantity",
        r#"{"type":"string"}"#,
        r#"{"oneOf":[{"type":"string"},{"type":"number"}]}"#,
    ),
    (
        "apimachinery.pkg.util.intstr.IntOrString",
        r#"{"type":"string","format":"int-or-string"}"#,
        r#"{"format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}]}"#,
    ),
    ("apimachinery.pkg.apis.meta.v1.Time", r#"{"type":"string","format":"date-time"}"#, ""),
    ("apimachinery.pkg.apis.meta.v1.MicroTime", r#"{"type":"string","format":"date-time"}"#, ""),
    ("apimachinery.pkg.apis.meta.v1.Duration", r#"{"type":"string"}"#, ""),
    ("apimachinery.pkg.apis.meta.v1.FieldsV1", r#"{"type":"object"}"#, ""),
    ("apimachinery.pkg.apis.meta.v1.Patch", r#"{"type":"object"}"#, ""),
    ("apimachinery.pkg.runtime.RawExtension", r#"{"type":"object"}"#, ""),
    ("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "{}", ""),
    ("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "{}", ""),
    ("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "{}", ""),
    ("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray", "{}", ""),
];

/// A set of definitions that grows until nothing they refer to is missing.
pub struct Definitions<'s> {
    pub form: Form,
    served: &'s Served,
    texts: &'s Descriptions,
    done: Named,
    /// Names still to be described.
    wanted: Vec<String>,
    kinds: HashMap<NodeId, Vec<&'static str>>,
}

impl<'s> Definitions<'s> {
    pub fn new(form: Form, served: &'s Served, texts: &'s Descriptions) -> Self {
        let mut kinds: HashMap<NodeId, Vec<&'static str>> = HashMap::new();
        let types: &'static Types = builtin();
        for (kind, id) in &types.kinds {
            kinds.entry(*id).or_default().push(kind);
        }
        Self { form, served, texts, done: Named::new(), wanted: Vec::new(), kinds }
    }

    /// Adds the built-in type `name` and all that it refers to.
    pub fn add(&mut self, name: &str) {
        self.wanted.push(name.strip_prefix(UPSTREAM_PREFIX).unwrap_or(name).to_owned());
        while let Some(name) = self.wanted.pop() {
            let full = format!("{UPSTREAM_PREFIX}{name}");
            if self.done.contains_key(&full) {
                continue;
            }
            let mut described = match SIMPLE.iter().find(|(simple, ..)| *simple == name) {
                Some((_, v2, v3)) => {
                    let text = if self.form == Form::V3 && !v3.is_empty() { v3 } else { v2 };
                    serde_json::from_str(text).unwrap_or_default()
                }
                None => match builtin().named(&name) {
                    Some(schema) => self.definition(schema, &name),
                    None => continue,
                },
            };
            if let Some(text) = self.texts.of_type(&name) {
                described["description"] = text.into();
            }
            self.done.insert(full, described);
        }
    }

    /// What a field of a built-in type means, in words.
    pub fn meaning(&self, name: &str, field: &str) -> Option<&str> {
        self.texts.of_field(name, field)
    }

    /// Adds a definition that is not in the table.
    pub fn insert(&mut self, name: String, definition: Tree) {
        self.done.insert(name, definition);
    }

    pub fn finish(self) -> BTreeMap<String, Tree> {
        self.done
    }

    fn definition(&mut self, schema: Schema<'_>, name: &str) -> Tree {
        let Shape::Struct { fields, atomic, .. } = schema.shape() else { return json!({"type": "object"}) };
        let mut definition = json!({"type": "object"});
        let mut properties = Map::new();
        for field in fields {
            let mut property = self.property(field, schema);
            if let Some(text) = self.texts.of_field(name, &field.name) {
                property["description"] = text.into();
            }
            properties.insert(field.name.clone().into(), property);
        }
        if !properties.is_empty() {
            definition["properties"] = Tree::Object(properties);
        }
        let mut required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| &*field.name).collect();
        required.sort_unstable();
        if !required.is_empty() {
            definition["required"] = required.into();
        }
        if *atomic {
            definition["x-kubernetes-map-type"] = "atomic".into();
        }
        let kinds = self.kinds_of(schema.id, name);
        if !kinds.is_empty() {
            definition["x-kubernetes-group-version-kind"] = kinds.into();
        }
        definition
    }

    /// The kinds that a type is; some are kinds of every group.
    fn kinds_of(&self, id: NodeId, name: &str) -> Vec<Tree> {
        let everywhere = ["DeleteOptions", "WatchEvent"];
        if let Some(kind) = everywhere.iter().find(|kind| name == format!("apimachinery.pkg.apis.meta.v1.{kind}")) {
            let each = group_versions(self.served);
            return each
                .map(|(group, version)| json!({"group": group.name, "kind": kind, "version": version}))
                .collect();
        }
        let split = |kind: &&str| {
            let mut parts = kind.rsplit('/');
            let (kind, version, group) = (parts.next(), parts.next(), parts.next());
            json!({"group": group.unwrap_or_default(), "kind": kind, "version": version})
        };
        self.kinds.get(&id).into_iter().flatten().map(split).collect()
    }

    fn property(&mut self, field: &Field, owner: Schema<'_>) -> Tree {
        let schema = owner.to(field.node);
        let mut property = self.shape(schema);
        if self.form == Form::V3 {
            if let Some(default) = default_of(field, schema) {
                property["default"] = default;
            }
            if let Some(reference) = property.get("$ref").cloned() {
                property["allOf"] = json!([{ "$ref": reference }]);
                property.as_object_mut().and_then(|map| map.remove("$ref"));
            }
        }
        if let Some(strategy) = strategy_of(field.patch) {
            property["x-kubernetes-patch-strategy"] = strategy.into();
        }
        if let Some(key) = &field.patch_merge_key {
            property["x-kubernetes-patch-merge-key"] = (&**key).into();
        }
        property
    }

    /// A value of a type: a reference for those with a definition.
    fn shape(&mut self, schema: Schema<'_>) -> Tree {
        match schema.shape() {
            Shape::Struct { atomic, .. } => {
                let name = schema.node().name.clone();
                let mut shown = self.reference(&name);
                // A place may differ from the definition in whether it is owned as a whole.
                if schema.types.names.get(&name) != Some(&schema.id) {
                    shown["x-kubernetes-map-type"] = if *atomic { "atomic" } else { "granular" }.into();
                }
                shown
            }
            Shape::Map { values, atomic } => {
                let mut shown = json!({"type": "object", "additionalProperties": self.shape(schema.to(*values))});
                if *atomic {
                    shown["x-kubernetes-map-type"] = "atomic".into();
                }
                shown
            }
            Shape::List { items, kind, .. } => {
                let mut shown = json!({"type": "array", "items": self.shape(schema.to(*items))});
                shown["x-kubernetes-list-type"] = match kind {
                    ListKind::Atomic => "atomic",
                    ListKind::Set => "set",
                    ListKind::Map(_) => "map",
                }
                .into();
                if let ListKind::Map(keys) = kind {
                    shown["x-kubernetes-list-map-keys"] = keys.iter().map(|key| Tree::from(&**key)).collect();
                }
                shown
            }
            Shape::String => json!({"type": "string"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Number => json!({"type": "number", "format": "double"}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Quantity => self.reference("apimachinery.pkg.api.resource.Quantity"),
            Shape::IntOrString => self.reference("apimachinery.pkg.util.intstr.IntOrString"),
            Shape::Time => self.reference("apimachinery.pkg.apis.meta.v1.Time"),
            Shape::MicroTime => self.reference("apimachinery.pkg.apis.meta.v1.MicroTime"),
            Shape::Duration => self.reference("apimachinery.pkg.apis.meta.v1.Duration"),
            Shape::Any(AnyKind::RawExtension) => self.reference("apimachinery.pkg.runtime.RawExtension"),
            Shape::Any(AnyKind::FieldsV1) => self.reference("apimachinery.pkg.apis.meta.v1.FieldsV1"),
            Shape::Any(_) => self.reference("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"),
            Shape::SchemaOr { other, .. } => {
                let suffix = match other {
                    SchemaOr::Bool => "Bool",
                    SchemaOr::Schemas => "Array",
                    SchemaOr::Strings => "StringArray",
                };
                self.reference(&format!("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOr{suffix}"))
            }
        }
    }

    fn reference(&mut self, name: &str) -> Tree {
        let full = format!("{UPSTREAM_PREFIX}{name}");
        if !self.done.contains_key(&full) {
            self.wanted.push(name.to_owned());
        }
        self.form.reference(&full)
    }
}

/// What OpenAPI states as the default: a real one, or Go's zero value where it is always written.
fn default_of(field: &Field, schema: Schema<'_>) -> Option<Tree> {
    if let Some(default) = &field.default {
        return Some(Tree::clone(default));
    }
    match schema.shape() {
        _ if field.empty != Empty::Always => None,
        Shape::Struct { .. } => Some(json!({})),
        Shape::String => Some("".into()),
        Shape::Int32 | Shape::Int64 => Some(0.into()),
        Shape::Bool => Some(false.into()),
        _ => None,
    }
}

fn strategy_of(patch: PatchStrategy) -> Option<String> {
    let words = [(patch.merge, "merge"), (patch.replace, "replace"), (patch.retain_keys, "retainKeys")];
    let words: Vec<&str> = words.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word).collect();
    (!words.is_empty()).then(|| words.join(","))
}
