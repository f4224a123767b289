//! The schema table: what an API server must know about types, as data.
//!
//! Built-in kinds come from one generated table, custom resources from their definitions; both
//! are [`Types`], so decode, prune, default, validate, merge, apply, OpenAPI and the protobuf codec
//! are written once. Nodes refer to each other by number, because schemas may be recursive.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::tree::Tree;

/// A number of a node in its [`Types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u32);

/// A name that costs nothing when it comes from the built-in table.
pub type Name = Cow<'static, str>;

/// What upstream puts before the names of its own definitions; the table leaves it out.
pub const UPSTREAM_PREFIX: &str = "io.k8s.";

/// A set of types that refer to each other.
#[derive(Debug, Default)]
pub struct Types {
    pub nodes: Vec<Node>,
    /// Named definitions, such as `api.core.v1.Pod` (without [`UPSTREAM_PREFIX`]).
    pub names: HashMap<Name, NodeId>,
    /// Types that are kinds, by `group/version/Kind` (`v1/Kind` in the core group).
    pub kinds: HashMap<Name, NodeId>,
    /// Objects are written with their keys sorted, as upstream does for custom resources.
    pub sorted: bool,
    /// The JSON schema that the types were made from, as its author wrote it (for OpenAPI).
    pub source: Option<Box<str>>,
}

/// A place in a [`Types`]; what every walk over a schema carries along.
#[derive(Clone, Copy)]
pub struct Schema<'t> {
    pub types: &'t Types,
    pub id: NodeId,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub shape: Shape,
    /// The definition's name for structs, `package.Type` for named Go strings, else empty.
    pub name: Name,
    /// `null` is a value here, not an absence.
    pub nullable: bool,
    /// Limits that only custom resources and a few built-in fields have.
    pub rules: Option<Box<Limits>>,
}

#[derive(Debug, Clone)]
pub enum Shape {
    Struct {
        /// In the order that upstream encodes them.
        fields: Box<[Field]>,
        /// Keep fields that are not listed (`x-kubernetes-preserve-unknown-fields`), checking them
        /// against this schema if there is one.
        unknown: Unknown,
        /// Server-side apply owns it as a whole.
        atomic: bool,
        /// `x-kubernetes-embedded-resource`: an object with apiVersion, kind and metadata of its own.
        embedded: bool,
    },
    Map {
        values: NodeId,
        atomic: bool,
    },
    List {
        items: NodeId,
        kind: ListKind,
        /// In protobuf a message that holds the list (named slices of Go used as map values).
        wrapped: bool,
    },
    String,
    /// Base64 in JSON, bytes in protobuf.
    Bytes,
    Int32,
    Int64,
    Number,
    Bool,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    /// A Go duration (`metav1.Duration`), such as `1h30m`.
    Duration,
    /// Any JSON (`RawExtension`, `JSON`, `FieldsV1`); see [`AnyKind`] for its protobuf form.
    Any(AnyKind),
    /// A JSON schema, or the other thing that is allowed in its place.
    SchemaOr {
        schema: NodeId,
        other: SchemaOr,
    },
}

/// What may stand where CRD schemas allow more than one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOr {
    Bool,
    Schemas,
    Strings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    Prune,
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyKind {
    /// An embedded object, as `{raw: bytes}` in protobuf.
    RawExtension,
    /// A JSON value, as `{raw: bytes}` in protobuf.
    Json,
    /// The set of fields of a managedFields entry.
    FieldsV1,
    /// A CRD field with `x-kubernetes-preserve-unknown-fields` and no type.
    Untyped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind {
    Atomic,
    Set,
    Map(Box<[Box<str>]>),
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: Name,
    pub node: NodeId,
    /// The protobuf field number; 0 where the type has no protobuf form.
    pub number: u32,
    /// Numbers of the messages around the field that JSON does not show, outermost first; 0 is none.
    pub inside: [u8; 2],
    pub required: bool,
    pub empty: Empty,
    /// The value an absent field takes on (static defaults only; others are in the resource's file).
    pub default: Option<Box<Tree>>,
    pub patch: PatchStrategy,
    pub patch_merge_key: Option<Box<str>>,
}

/// What becomes of a field's empty value: `""`, `0`, `false`, `[]`, `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// Kept; being absent is something else (a pointer in Go, anything in a custom resource).
    Keep,
    /// Left out: it means the same as being absent.
    Drop,
    /// Written even when absent.
    Always,
    /// Kept, and written as `null` when absent (a Go pointer without `omitempty`).
    Null,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    pub merge: bool,
    pub replace: bool,
    pub retain_keys: bool,
}

/// Value limits as OpenAPI v3 has them; all in the units of the JSON Schema specification.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    pub enums: Vec<Tree>,
    pub format: Option<Box<str>>,
    pub pattern: Option<Box<str>>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    /// `allOf`, `anyOf`, `oneOf`, `not`: value checks only, as raw JSON schemas.
    pub combined: Option<Box<Tree>>,
    /// `x-kubernetes-validations`: CEL rules, as raw JSON.
    pub cel: Vec<Tree>,
}

impl Types {
    /// The definition `name`, with or without upstream's prefix.
    pub fn named(&self, name: &str) -> Option<Schema<'_>> {
        let name = name.strip_prefix(UPSTREAM_PREFIX).unwrap_or(name);
        self.names.get(name).map(|id| Schema { types: self, id: *id })
    }

    /// The type of a kind, by what its `apiVersion` and `kind` say.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<Schema<'_>> {
        let id = self.kinds.get(format!("{api_version}/{kind}").as_str())?;
        Some(Schema { types: self, id: *id })
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub fn add(&mut self, shape: Shape) -> NodeId {
        self.add_node(Node { shape, name: Name::Borrowed(""), nullable: false, rules: None })
    }

    pub fn add_node(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() as u32 - 1)
    }
}

impl<'t> Schema<'t> {
    pub fn node(self) -> &'t Node {
        self.types.node(self.id)
    }

    pub fn shape(self) -> &'t Shape {
        &self.node().shape
    }

    pub fn to(self, id: NodeId) -> Self {
        Self { types: self.types, id }
    }

    /// The declared field `name` of a struct.
    pub fn field(self, name: &str) -> Option<&'t Field> {
        match self.shape() {
            Shape::Struct { fields, .. } => fields.iter().find(|field| field.name == name),
            _ => None,
        }
    }

    /// The schema of what is under `name`: a field of a struct or a value of a map.
    pub fn child(self, name: &str) -> Option<Self> {
        match self.shape() {
            Shape::Struct { .. } => self.field(name).map(|field| self.to(field.node)),
            Shape::Map { values, .. } => Some(self.to(*values)),
            _ => None,
        }
    }

    /// The schema of a list's elements.
    pub fn items(self) -> Option<Self> {
        match self.shape() {
            Shape::List { items, .. } => Some(self.to(*items)),
            _ => None,
        }
    }

    /// The schema at a dotted path of struct fields, passing through lists.
    pub fn at(self, path: &str) -> Option<Self> {
        path.split('.').try_fold(self, |schema, step| schema.items().unwrap_or(schema).child(step))
    }
}
