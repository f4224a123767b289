//! A custom schema as [`Types`], which apply, patches, encoding and OpenAPI walk.

use std::collections::HashMap;

use super::super::table::builtin;
use super::super::types::{
    AnyKind, Empty, Field, ListKind, Name, Node, NodeId, PatchStrategy, Schema, Shape, Types, Unknown,
};
use super::props::{Additional, Props};

const OBJECT_META: &str = "apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The types of objects of a custom resource, and the node that is the object.
pub fn types_of(schema: &Props) -> (Types, NodeId) {
    let mut maker = Maker { types: Types { sorted: true, ..Types::default() }, imported: HashMap::new() };
    let root = maker.object(schema, true);
    (maker.types, root)
}

struct Maker {
    types: Types,
    /// Nodes of the built-in table, by their number there.
    imported: HashMap<NodeId, NodeId>,
}

impl Maker {
    fn node(&mut self, schema: &Props) -> NodeId {
        let shape = match schema.r#type.as_str() {
            _ if schema.int_or_string => Shape::IntOrString,
            "object" => return self.object(schema, schema.embedded),
            "array" => Shape::List {
                items: match schema.items.as_deref() {
                    Some(items) => self.node(items),
                    None => self.any(),
                },
                kind: match schema.list_type.as_str() {
                    "set" => ListKind::Set,
                    "map" => ListKind::Map(schema.list_map_keys.iter().map(|key| key.as_str().into()).collect()),
                    _ => ListKind::Atomic,
                },
                wrapped: false,
            },
            "string" => Shape::String,
            "integer" => Shape::Int64,
            "number" => Shape::Number,
            "boolean" => Shape::Bool,
            _ => Shape::Any(AnyKind::Untyped),
        };
        self.add(shape, schema)
    }

    fn object(&mut self, schema: &Props, is_resource: bool) -> NodeId {
        let atomic = schema.map_type == "atomic";
        if let (Some(additional), true) = (schema.additional_properties.as_deref(), schema.properties.is_empty()) {
            let values = match additional {
                Additional::Schema(values) => self.node(values),
                Additional::Allowed(_) => self.any(),
            };
            return self.add(Shape::Map { values, atomic }, schema);
        }
        let mut fields: Vec<Field> = Vec::new();
        if is_resource {
            let text = self.types.add(Shape::String);
            let meta = self.object_meta();
            fields.extend([field("apiVersion", text), field("kind", text), field("metadata", meta)]);
        }
        for (name, child) in &schema.properties {
            if fields.iter().any(|field| field.name == *name) {
                continue;
            }
            let node = self.node(child);
            fields.push(Field {
                required: schema.required.contains(name),
                default: child.default.clone().map(Box::new),
                ..field(name, node)
            });
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let unknown = if schema.preserve { Unknown::Keep } else { Unknown::Prune };
        self.add(Shape::Struct { fields: fields.into(), unknown, atomic, embedded: schema.embedded }, schema)
    }

    fn add(&mut self, shape: Shape, schema: &Props) -> NodeId {
        self.types.add_node(Node { shape, name: Name::Borrowed(""), nullable: schema.nullable, rules: None })
    }

    fn any(&mut self) -> NodeId {
        self.types.add(Shape::Any(AnyKind::Untyped))
    }

    fn object_meta(&mut self) -> NodeId {
        match builtin().named(OBJECT_META) {
            Some(meta) => self.import(meta),
            None => self.any(),
        }
    }

    /// Copies a built-in type, with everything that it refers to.
    fn import(&mut self, from: Schema<'_>) -> NodeId {
        if let Some(id) = self.imported.get(&from.id) {
            return *id;
        }
        let id = self.types.add_node(Node { shape: Shape::Bool, ..from.node().clone() }); // until its parts are there
        self.imported.insert(from.id, id);
        let mut shape = from.shape().clone();
        match &mut shape {
            Shape::Struct { fields, .. } => {
                for field in fields.iter_mut() {
                    field.node = self.import(from.to(field.node));
                }
            }
            Shape::Map { values: inner, .. } | Shape::List { items: inner, .. } => {
                *inner = self.import(from.to(*inner))
            }
            Shape::SchemaOr { schema, .. } => *schema = self.import(from.to(*schema)),
            _ => (),
        }
        self.types.nodes[id.0 as usize].shape = shape;
        id
    }
}

fn field(name: &str, node: NodeId) -> Field {
    Field {
        name: Name::Owned(name.to_owned()),
        node,
        number: 0,
        inside: [0; 2],
        required: false,
        empty: Empty::Keep,
        default: None,
        patch: PatchStrategy::default(),
        patch_merge_key: None,
    }
}
