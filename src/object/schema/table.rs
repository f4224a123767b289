//! The built-in table: every type of Kubernetes 1.36, read once from generated text.
//!
//! One line for each type, and under it one for each field, in the order that Go encodes them:
//!
//! ```text
//! TYPE [kind=GROUP/VERSION/KIND] [atomic]
//!  FIELD SHAPE [NUMBER] [!|?|?!] [required] [patch=STRATEGIES[:KEY]] [default=JSON]
//! ```
//!
//! `!` is [`Empty::Always`], `?` is [`Empty::Keep`], `?!` is [`Empty::Null`], none is [`Empty::Drop`]. A shape is the name
//! of a type, a scalar, `{}SHAPE` or `{atomic}SHAPE` for a map, `[]SHAPE`, `[set]SHAPE` or
//! `[map:KEY,KEY]SHAPE` for a list, `wrapped` before a list that has a message of its own in
//! protobuf, `granular:` or `atomic:` before a type whose definition says the opposite.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::types::{
    AnyKind, Empty, Field, ListKind, Name, Node, NodeId, PatchStrategy, SchemaOr, Shape, Types, Unknown,
};

/// The generated text.
pub const TABLE: &str = include_str!("../../resources/schemas/builtin.txt");

/// The types of every built-in kind.
///
/// # Panics
/// If the generated table is damaged, which its test would have told.
pub fn builtin() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| parse(&[TABLE]).unwrap_or_else(|line| panic!("built-in schema table: {line}")))
}

/// Reads tables that may refer to each other. An error is the line that makes no sense.
pub fn parse(tables: &[&'static str]) -> Result<Types, String> {
    let lines: Vec<&'static str> = tables.iter().flat_map(|table| table.lines()).collect();
    let mut reader = Reader::default();
    for line in lines.iter().filter(|line| is_header(line)) {
        reader.declare(line)?;
    }
    let mut rest = lines.as_slice();
    while let Some((header, after)) = rest.split_first() {
        let count = after.iter().take_while(|line| line.starts_with(' ')).count();
        if is_header(header) {
            reader.define(header, &after[..count])?;
        }
        rest = &after[count..];
    }
    reader.finish()
}

fn is_header(line: &str) -> bool {
    !line.is_empty() && !line.starts_with([' ', '#'])
}

/// Types as far as they are read.
#[derive(Default)]
struct Reader {
    types: Types,
    /// Shapes met so far, so that each is one node.
    shapes: HashMap<&'static str, NodeId>,
    /// Copies of types that differ in being atomic: copy, original, atomic.
    variants: Vec<(NodeId, NodeId, bool)>,
}

impl Reader {
    fn declare(&mut self, line: &'static str) -> Result<(), String> {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let mut is_atomic = false;
        let id = self.types.add_node(Node {
            shape: Shape::Bool, // until `define`
            name: Name::Borrowed(name),
            nullable: false,
            rules: None,
        });
        for word in words {
            match word.split_once('=') {
                Some(("kind", kind)) => drop(self.types.kinds.insert(Name::Borrowed(kind), id)),
                None if word == "atomic" => is_atomic = true,
                _ => return Err(line.into()),
            }
        }
        self.types.nodes[id.0 as usize].shape =
            Shape::Struct { fields: Box::default(), unknown: Unknown::Prune, atomic: is_atomic, embedded: false };
        self.types.names.insert(Name::Borrowed(name), id);
        self.shapes.insert(name, id);
        Ok(())
    }

    fn define(&mut self, header: &'static str, lines: &[&'static str]) -> Result<(), String> {
        let name = header.split(' ').next().unwrap_or_default();
        let read: Result<Vec<Field>, String> = lines.iter().map(|line| self.field(line)).collect();
        let fields = read.map_err(|word| format!("{name}: {word}"))?;
        let id = self.types.names[name];
        if let Shape::Struct { fields: empty, .. } = &mut self.types.nodes[id.0 as usize].shape {
            *empty = fields.into();
        }
        Ok(())
    }

    fn field(&mut self, line: &'static str) -> Result<Field, String> {
        let (line, default) = match line.split_once(" default=") {
            Some((line, json)) => (line, Some(serde_json::from_str(json).map_err(|_| json.to_owned())?)),
            None => (line, None),
        };
        let mut words = line.trim_start().split(' ');
        let (Some(name), Some(shape)) = (words.next(), words.next()) else { return Err(line.into()) };
        let mut field = Field {
            name: Name::Borrowed(name),
            node: self.shape(shape)?,
            number: 0,
            inside: [0; 2],
            required: false,
            empty: Empty::Drop,
            default,
            patch: PatchStrategy::default(),
            patch_merge_key: None,
        };
        for word in words {
            match word {
                "!" => field.empty = Empty::Always,
                "?" => field.empty = Empty::Keep,
                "?!" => field.empty = Empty::Null,
                "required" => field.required = true,
                _ => match word.strip_prefix("patch=") {
                    Some(patch) => read_patch(patch, &mut field)?,
                    None => read_number(word, &mut field)?,
                },
            }
        }
        Ok(field)
    }

    fn shape(&mut self, text: &'static str) -> Result<NodeId, String> {
        if let Some(id) = self.shapes.get(text) {
            return Ok(*id);
        }
        let id = self.new_shape(text)?;
        self.shapes.insert(text, id);
        Ok(id)
    }

    fn new_shape(&mut self, text: &'static str) -> Result<NodeId, String> {
        if let Some((word @ ("granular" | "atomic"), original)) = text.split_once(':') {
            let original = self.shape(original)?;
            let copy = self.types.add(Shape::Bool); // until `finish`
            self.variants.push((copy, original, word == "atomic"));
            return Ok(copy);
        }
        if let Some(name) = text.strip_prefix("string:") {
            let name = Name::Borrowed(name);
            return Ok(self.types.add_node(Node { shape: Shape::String, name, nullable: false, rules: None }));
        }
        let shape = if let Some((atomic, values)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Shape::Map { values: self.shape(values)?, atomic: atomic == "atomic" }
        } else if let Some((kind, items)) = list_parts(text) {
            let kind = match kind.strip_prefix("map:") {
                Some(keys) => ListKind::Map(keys.split(',').map(Box::from).collect()),
                None if kind == "set" => ListKind::Set,
                None => ListKind::Atomic,
            };
            Shape::List { items: self.shape(items)?, kind, wrapped: text.starts_with("wrapped") }
        } else {
            self.scalar(text)?
        };
        Ok(self.types.add(shape))
    }

    fn scalar(&self, text: &str) -> Result<Shape, String> {
        let schema_or = |other| {
            let schema = self.types.named("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
            schema.map(|schema| Shape::SchemaOr { schema: schema.id, other }).ok_or_else(|| text.to_owned())
        };
        Ok(match text {
            "string" => Shape::String,
            "bytes" => Shape::Bytes,
            "bool" => Shape::Bool,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "number" => Shape::Number,
            "quantity" => Shape::Quantity,
            "intorstring" => Shape::IntOrString,
            "time" => Shape::Time,
            "microtime" => Shape::MicroTime,
            "duration" => Shape::Duration,
            "raw" => Shape::Any(AnyKind::RawExtension),
            "json" => Shape::Any(AnyKind::Json),
            "fields" => Shape::Any(AnyKind::FieldsV1),
            "schemaorbool" => schema_or(SchemaOr::Bool)?,
            "schemaorarray" => schema_or(SchemaOr::Schemas)?,
            "schemaorstrings" => schema_or(SchemaOr::Strings)?,
            _ => return Err(text.into()),
        })
    }

    fn finish(mut self) -> Result<Types, String> {
        for (copy, original, is_atomic) in self.variants {
            let mut node = self.types.node(original).clone();
            if let Shape::Struct { atomic, .. } = &mut node.shape {
                *atomic = is_atomic;
            }
            self.types.nodes[copy.0 as usize] = node;
        }
        self.types.nodes.shrink_to_fit();
        Ok(self.types)
    }
}

/// Splits `[KIND]ITEMS` and `wrapped[KIND]ITEMS`.
fn list_parts(text: &'static str) -> Option<(&'static str, &'static str)> {
    text.strip_prefix("wrapped").unwrap_or(text).strip_prefix('[')?.split_once(']')
}

fn read_patch(text: &str, field: &mut Field) -> Result<(), String> {
    let (strategies, key) = text.split_once(':').map_or((text, None), |(words, key)| (words, Some(key)));
    field.patch_merge_key = key.map(Box::from);
    for word in strategies.split(',') {
        match word {
            "merge" => field.patch.merge = true,
            "replace" => field.patch.replace = true,
            "retainKeys" => field.patch.retain_keys = true,
            _ => return Err(text.into()),
        }
    }
    Ok(())
}

/// Reads `5`, or `2/5` for a field of the embedded message 2.
fn read_number(text: &str, field: &mut Field) -> Result<(), String> {
    let bad = |_| text.to_owned();
    let mut steps: Vec<&str> = text.split('/').collect();
    field.number = steps.pop().unwrap_or_default().parse().map_err(bad)?;
    for (place, step) in field.inside.iter_mut().zip(steps) {
        *place = step.parse().map_err(bad)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_pods_as_upstream_does() {
        let pod = builtin().kind("v1", "Pod").unwrap();
        let ports = pod.at("spec.containers.ports").unwrap();
        let Shape::List { kind: ListKind::Map(keys), .. } = ports.shape() else { panic!("{:?}", ports.shape()) };
        assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), ["containerPort", "protocol"]);
        let probe = pod.at("spec.containers.livenessProbe").unwrap();
        assert_eq!(probe.field("httpGet").map(|field| (field.inside, field.number)), Some(([1, 0], 2)));
        assert!(matches!(pod.at("spec.containers.resources.limits").unwrap().shape(), Shape::Map { .. }));
    }

    #[test]
    fn a_damaged_line_is_named() {
        assert_eq!(parse(&["a.B\n x nothing 1\n"]).unwrap_err(), "a.B: nothing");
    }
}
