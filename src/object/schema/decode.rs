//! JSON to tree, with a schema at hand, as Go's decoder reads it into a struct.
//!
//! What comes out is what upstream would have in memory: `null` and meaningless empty values are
//! gone, quantities and times are in their canonical form, unknown fields are dropped and
//! reported, a duplicated field's values are merged and reported. One pass; the first wrong type is
//! remembered while the text is read to its end, because a syntax error would take precedence.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Number;

use super::super::codec::reader::{Parsed, Reader, Start, SyntaxError};
use super::super::go_time;
use super::super::quantity::Quantity;
use super::super::quote::Quoted;
use super::super::time::Timestamp;
use super::super::tree::{Map, Tree};
use super::path::{Path, Step};
use super::types::{Empty, Field, Name, NodeId, Schema, SchemaOr, Shape, Types, Unknown};

/// More complaints than this are not recorded, as upstream has it.
const COMPLAINTS_MAX: usize = 100;

/// An object as it was sent.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded {
    pub tree: Tree,
    /// `unknown field "spec.foo"` and `duplicate field "data.a"`: harmless unless decoding is strict.
    pub complaints: Vec<String>,
}

/// Why bytes are not an object of the wanted type; messages are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON (or YAML, or protobuf) at all.
    #[error("{0}")]
    Syntax(String),
    /// A value of the wrong type, or one that does not parse.
    #[error("{0}")]
    Type(String),
}

impl From<SyntaxError> for DecodeError {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error.0)
    }
}

/// Reads one JSON document of type `schema`.
pub fn decode(bytes: &[u8], schema: Schema<'_>) -> Result<Decoded, DecodeError> {
    read(bytes, schema.types, |decoder| decoder.value(schema.id, &Path::ROOT, None))
}

/// Reads one JSON document of no particular type; numbers are integers wherever they can be.
pub fn decode_untyped(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    read(bytes, &Types::default(), |decoder| decoder.any(&Path::ROOT).map(Some))
}

fn read<'a, 't>(
    bytes: &'a [u8],
    types: &'t Types,
    walk: impl FnOnce(&mut Decoder<'a, 't>) -> Parsed<Option<Tree>>,
) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder { reader: Reader::new(bytes), types, complaints: Vec::new(), error: None };
    let tree = walk(&mut decoder)?.unwrap_or_default();
    decoder.reader.end()?;
    match decoder.error {
        Some(message) => Err(DecodeError::Type(message)),
        None => Ok(Decoded { tree, complaints: decoder.complaints }),
    }
}

struct Decoder<'a, 't> {
    reader: Reader<'a>,
    types: &'t Types,
    complaints: Vec<String>,
    /// The first wrong type.
    error: Option<String>,
}

impl Decoder<'_, '_> {
    /// The next value as node `id`; `None` for `null`. `old` is what an earlier duplicate left.
    fn value(&mut self, id: NodeId, path: &Path<'_>, old: Option<Tree>) -> Parsed<Option<Tree>> {
        let start = self.reader.peek()?;
        let types = self.types;
        let node = types.node(id);
        if start == Start::Null && !node.nullable {
            self.reader.word("null")?;
            return Ok(None);
        }
        let read = match (&node.shape, start) {
            (_, Start::Null) => {
                self.reader.word("null")?;
                Tree::Null
            }
            (Shape::Struct { fields, unknown, .. }, Start::Object) => {
                Tree::Object(self.fields(id, fields, *unknown, path, old)?)
            }
            (Shape::Map { values, .. }, Start::Object) => Tree::Object(self.entries(*values, path, old)?),
            (Shape::List { items, .. }, Start::Array) => Tree::Array(self.items(*items, path)?),
            (Shape::String, Start::String) => Tree::String(self.reader.string()?.into_owned()),
            (Shape::Bytes, Start::String) => self.bytes()?,
            (Shape::Bool, Start::True) => self.word("true", true)?,
            (Shape::Bool, Start::False) => self.word("false", false)?,
            (Shape::Int32, Start::Number) => self.integer(i32::MIN.into(), i32::MAX.into(), id, path)?,
            (Shape::Int64, Start::Number) => self.integer(i64::MIN, i64::MAX, id, path)?,
            (Shape::Number, Start::Number) => self.float(path)?,
            (Shape::Quantity, _) => self.quantity(start)?,
            (Shape::Time | Shape::MicroTime, Start::String) => self.time(matches!(node.shape, Shape::MicroTime))?,
            (Shape::Duration, Start::String) => Tree::String(self.reader.string()?.into_owned()),
            (Shape::Time | Shape::MicroTime | Shape::Duration, _) => self.own_mismatch(start, "string", path)?,
            (Shape::IntOrString, Start::String) => Tree::String(self.reader.string()?.into_owned()),
            (Shape::IntOrString, Start::Number) => self.small_integer(path)?,
            (Shape::IntOrString, _) => self.own_mismatch(start, "int32", path)?,
            (Shape::Any(_), _) => self.any(path)?,
            (Shape::SchemaOr { schema, .. }, Start::Object) => {
                return self.value(*schema, path, None);
            }
            (Shape::SchemaOr { schema, other }, _) => self.other_than_schema(*schema, *other, start, path)?,
            _ => return self.mismatch(start, id, path),
        };
        Ok(Some(read))
    }

    fn fields(
        &mut self,
        owner: NodeId,
        fields: &[Field],
        unknown: Unknown,
        path: &Path<'_>,
        old: Option<Tree>,
    ) -> Parsed<Map> {
        let mut map = object_or_empty(old, fields.len());
        let merging = !map.is_empty();
        let mut seen = 0u128;
        let mut next = 0; // fields mostly come in the order of the schema, or at least near it
        self.reader.enter()?;
        let mut first = true;
        while let Some(key) = self.reader.key(first)? {
            first = false;
            let Some(index) = find(fields, &key, next) else {
                self.unknown(key, unknown, path, &mut map)?;
                continue;
            };
            next = index + 1;
            let field = &fields[index];
            let here = path.field(owner, &field.name);
            let bit = 1u128 << (index % 128);
            let mut old = None;
            if merging || seen & bit != 0 {
                old = map.remove(&*field.name);
            }
            if seen & bit != 0 {
                self.complain("duplicate", &here);
            }
            seen |= bit;
            let Some(value) = self.value(field.node, &here, old)? else { continue };
            if !(field.empty == Empty::Drop && is_empty(&value)) {
                map.insert(field.name.clone().into(), value);
            }
        }
        Ok(map)
    }

    fn unknown(&mut self, key: Cow<'_, str>, unknown: Unknown, path: &Path<'_>, map: &mut Map) -> Parsed<()> {
        let here = path.then(Step::Key(&key));
        match unknown {
            Unknown::Prune => {
                self.complain("unknown", &here);
                self.reader.skip()?;
            }
            Unknown::Keep => {
                let value = self.any(&here)?;
                map.insert(key.into_owned().into(), value);
            }
        }
        Ok(())
    }

    fn entries(&mut self, values: NodeId, path: &Path<'_>, old: Option<Tree>) -> Parsed<Map> {
        let mut map = object_or_empty(old, 0);
        let merging = !map.is_empty();
        let mut seen = Vec::new(); // only needed when merging into what another duplicate left
        self.reader.enter()?;
        let mut first = true;
        while let Some(key) = self.reader.key(first)? {
            first = false;
            let here = path.then(Step::Key(&key));
            let is_duplicate = if merging { seen.contains(&key) } else { map.contains_key(&*key) };
            if is_duplicate {
                self.complain("duplicate", &here);
            }
            let value = self.value(values, &here, None)?.unwrap_or_else(|| zero(self.types, values));
            if merging {
                seen.push(key.clone());
            }
            map.insert(key.into_owned().into(), value);
        }
        Ok(map)
    }

    fn items(&mut self, items: NodeId, path: &Path<'_>) -> Parsed<Vec<Tree>> {
        let mut list = Vec::new();
        self.reader.enter()?;
        while self.reader.element(list.is_empty())? {
            let here = path.then(Step::Index(list.len()));
            let value = self.value(items, &here, None)?.unwrap_or_else(|| zero(self.types, items));
            list.push(value);
        }
        Ok(list)
    }

    /// A value of no particular type.
    fn any(&mut self, path: &Path<'_>) -> Parsed<Tree> {
        Ok(match self.reader.peek()? {
            Start::Object => {
                let mut map = Map::new();
                self.reader.enter()?;
                let mut first = true;
                while let Some(key) = self.reader.key(first)? {
                    first = false;
                    let here = path.then(Step::Key(&key));
                    if map.contains_key(&*key) {
                        self.complain("duplicate", &here);
                    }
                    let value = self.any(&here)?;
                    map.insert(key.into_owned().into(), value);
                }
                Tree::Object(map)
            }
            Start::Array => {
                let mut list = Vec::new();
                self.reader.enter()?;
                while self.reader.element(list.is_empty())? {
                    let value = self.any(&path.then(Step::Index(list.len())))?;
                    list.push(value);
                }
                Tree::Array(list)
            }
            Start::String => Tree::String(self.reader.string()?.into_owned()),
            Start::Number => self.float(path)?,
            Start::True => self.word("true", true)?,
            Start::False => self.word("false", false)?,
            Start::Null => {
                self.reader.word("null")?;
                Tree::Null
            }
        })
    }

    fn word(&mut self, word: &'static str, value: bool) -> Parsed<Tree> {
        self.reader.word(word)?;
        Ok(Tree::Bool(value))
    }

    fn integer(&mut self, min: i64, max: i64, id: NodeId, path: &Path<'_>) -> Parsed<Tree> {
        let text = self.reader.number()?;
        match text.parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => Ok(value.into()),
            _ => {
                self.wrong(&format!("number {text}"), &go_type(self.types, id), path);
                Ok(0.into())
            }
        }
    }

    fn float(&mut self, path: &Path<'_>) -> Parsed<Tree> {
        let text = self.reader.number()?;
        if let Ok(value) = text.parse::<i64>() {
            return Ok(value.into());
        }
        let number = text.parse::<f64>().ok().and_then(whole_or_float);
        if number.is_none() {
            self.wrong(&format!("number {text}"), "float64", path);
        }
        Ok(Tree::Number(number.unwrap_or_else(|| 0.into())))
    }

    fn small_integer(&mut self, path: &Path<'_>) -> Parsed<Tree> {
        let text = self.reader.number()?;
        match text.parse::<i32>() {
            Ok(value) => Ok(value.into()),
            Err(_) => {
                self.wrong(&format!("number {text}"), "int32", path);
                Ok(0.into())
            }
        }
    }

    fn bytes(&mut self) -> Parsed<Tree> {
        let mut text = self.reader.string()?.into_owned();
        text.retain(|c| c != '\r' && c != '\n');
        if let Err(error) = BASE64_STANDARD.decode(&text) {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                _ => text.len() / 4 * 4,
            };
            self.fail(format!("illegal base64 data at input byte {at}"));
        }
        Ok(Tree::String(text))
    }

    fn quantity(&mut self, start: Start) -> Parsed<Tree> {
        let text = match start {
            Start::String => self.reader.string()?,
            _ => String::from_utf8_lossy(self.reader.skip()?),
        };
        match Quantity::normalize(text.trim()) {
            Ok(text) => Ok(Tree::String(text)),
            Err(error) => {
                self.fail(error.to_string());
                Ok(Tree::Null)
            }
        }
    }

    fn time(&mut self, with_micros: bool) -> Parsed<Tree> {
        let text = self.reader.string()?;
        let read = match go_time::complaint(&text, with_micros) {
            Some(why) => Err(why),
            None => Timestamp::parse(&text).ok_or_else(|| format!("parsing time {text:?}: out of range")),
        };
        match read {
            Ok(time) if with_micros => Ok(Tree::String(time.micros())),
            Ok(time) => Ok(Tree::String(time.to_string())),
            Err(why) => {
                self.fail(why);
                Ok(Tree::Null)
            }
        }
    }

    fn other_than_schema(&mut self, schema: NodeId, other: SchemaOr, start: Start, path: &Path<'_>) -> Parsed<Tree> {
        match (other, start) {
            (SchemaOr::Bool, Start::True) => self.word("true", true),
            (SchemaOr::Bool, Start::False) => self.word("false", false),
            (SchemaOr::Schemas, Start::Array) => self.items(schema, path).map(Tree::Array),
            (SchemaOr::Strings, Start::Array) => self.any(path),
            (SchemaOr::Bool, _) => {
                self.fail("boolean or JSON schema expected".into());
                self.reader.skip().map(|_| Tree::Null)
            }
            _ => self.own_mismatch(start, "v1.JSONSchemaProps", path),
        }
    }

    fn mismatch(&mut self, start: Start, id: NodeId, path: &Path<'_>) -> Parsed<Option<Tree>> {
        self.reader.skip()?;
        self.wrong(start.word(), &go_type(self.types, id), path);
        Ok(None)
    }

    /// A wrong type found by a type's own unmarshaller, which names the type that it reads itself.
    fn own_mismatch(&mut self, start: Start, go_type: &str, path: &Path<'_>) -> Parsed<Tree> {
        self.reader.skip()?;
        self.wrong(start.word(), go_type, path);
        Ok(Tree::Null)
    }

    fn wrong(&mut self, found: &str, go_type: &str, path: &Path<'_>) {
        if self.error.is_some() {
            return;
        }
        let place = match path.fields() {
            Some((owner, fields)) => {
                let owner = &self.types.node(owner).name;
                let owner = owner.rsplit_once('.').map_or(&**owner, |(_, name)| name);
                format!("struct field {owner}.{fields}")
            }
            None => "value".into(),
        };
        self.fail(format!("json: cannot unmarshal {found} into Go {place} of type {go_type}"));
    }

    fn fail(&mut self, message: String) {
        self.error.get_or_insert(message);
    }

    fn complain(&mut self, what: &str, path: &Path<'_>) {
        if self.complaints.len() < COMPLAINTS_MAX {
            let complaint = format!("{what} field {}", Quoted(&path.full()));
            if !self.complaints.contains(&complaint) {
                self.complaints.push(complaint);
            }
        }
    }
}

/// What was there before, or a map in which some of `likely` fields have room.
fn object_or_empty(old: Option<Tree>, likely: usize) -> Map {
    match old {
        Some(Tree::Object(map)) => map,
        _ => Map::with_capacity(likely.min(8)),
    }
}

/// The field `name`, looked for from `from` on, then before it.
pub(super) fn find(fields: &[Field], name: &str, from: usize) -> Option<usize> {
    let from = from.min(fields.len());
    let (before, after) = fields.split_at(from);
    let is_it = |field: &Field| field.name == name;
    after.iter().position(is_it).map(|index| from + index).or_else(|| before.iter().position(is_it))
}

/// Whether Go's `omitempty` leaves the value out.
pub fn is_empty(value: &Tree) -> bool {
    match value {
        Tree::Null => true,
        Tree::Bool(flag) => !flag,
        Tree::Number(number) => number.as_f64() == Some(0.0),
        Tree::String(text) => text.is_empty(),
        Tree::Array(list) => list.is_empty(),
        Tree::Object(map) => map.is_empty(),
    }
}

/// What Go has where nothing was given, as it would be written.
pub fn zero(types: &Types, id: NodeId) -> Tree {
    match types.node(id).shape {
        Shape::Struct { .. } => Tree::Object(Map::new()),
        Shape::String => Tree::String(String::new()),
        Shape::Int32 | Shape::Int64 | Shape::Number | Shape::IntOrString => 0.into(),
        Shape::Bool => false.into(),
        Shape::Quantity => "0".into(),
        Shape::Duration => "0s".into(),
        _ => Tree::Null,
    }
}

/// A float as a number; as an integer if it is one, because that is how Go prints it.
fn whole_or_float(value: f64) -> Option<Number> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
        return Some((value as i64).into());
    }
    Number::from_f64(value)
}

/// The type's name in Go, as error messages have it.
pub fn go_type(types: &Types, id: NodeId) -> String {
    let node = types.node(id);
    if !node.name.is_empty() {
        let name: &Name = &node.name;
        let start = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
        return name[start..].to_owned();
    }
    match &node.shape {
        Shape::Map { values, .. } => format!("map[string]{}", go_type(types, *values)),
        Shape::List { items, .. } => format!("[]{}", go_type(types, *items)),
        Shape::String => "string".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::Number => "float64".into(),
        Shape::Bool => "bool".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::IntOrString => "intstr.IntOrString".into(),
        Shape::Time => "v1.Time".into(),
        Shape::MicroTime => "v1.MicroTime".into(),
        Shape::Duration => "v1.Duration".into(),
        Shape::Struct { .. } | Shape::Any(_) | Shape::SchemaOr { .. } => "map[string]interface {}".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::builtin;
    use super::*;
    use crate::object::tree::json;

    fn read(kind: &str, text: &str) -> Result<Decoded, DecodeError> {
        let (api_version, kind) = kind.rsplit_once('/').unwrap();
        decode(text.as_bytes(), builtin().kind(api_version, kind).unwrap())
    }

    #[test]
    fn empty_and_null_values_are_gone_unless_they_mean_something() {
        let text = r#"{"kind":"Deployment","metadata":{"name":"web","labels":null,"annotations":{}},
            "spec":{"replicas":0,"paused":false,"template":{"spec":{"nodeName":"","containers":[{"name":"","env":[]}],
            "terminationGracePeriodSeconds":0}}}}"#;
        assert_eq!(
            read("apps/v1/Deployment", text).unwrap().tree,
            json!({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 0, "template": {
                "spec": {"containers": [{"name": ""}], "terminationGracePeriodSeconds": 0}}}})
        );
    }

    #[test]
    fn unknown_and_duplicate_fields_are_told_in_upstreams_words() {
        let text = r#"{"data":{"a":"1","a":"2"},"data":{"b":"1"},"Data":{},"metadata":{"labelz":{"x":[1]}}}"#;
        let decoded = read("v1/ConfigMap", text).unwrap();
        assert_eq!(decoded.tree, json!({"data": {"a": "2", "b": "1"}, "metadata": {}}));
        assert_eq!(
            decoded.complaints,
            [
                r#"duplicate field "data.a""#,
                r#"duplicate field "data""#,
                r#"unknown field "Data""#,
                r#"unknown field "metadata.labelz""#
            ]
        );
        let pod = read("v1/Pod", r#"{"spec":{"containers":[{"Image":"x"}]}}"#).unwrap();
        assert_eq!(pod.complaints, [r#"unknown field "spec.containers[0].Image""#]);
    }

    #[test]
    fn wrong_types_are_told_as_go_tells_them() {
        for (kind, text, message) in [
            (
                "apps/v1/Deployment",
                r#"{"spec":{"replicas":"3"}}"#,
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                "apps/v1/Deployment",
                r#"{"spec":{"replicas":1.5}}"#,
                "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                "v1/Pod",
                r#"{"spec":{"containers":{}}}"#,
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            ("v1/Pod", "[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
            (
                "v1/ConfigMap",
                r#"{"data":{"a":1}}"#,
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            ("v1/Secret", r#"{"data":{"a":"!"}}"#, "illegal base64 data at input byte 0"),
            (
                "v1/Service",
                r#"{"spec":{"ports":[{"targetPort":true}]}}"#,
                "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
            ),
        ] {
            assert_eq!(read(kind, text), Err(DecodeError::Type(message.into())), "{text}");
        }
        let both = read("v1/Pod", r#"{"spec":1,"metadata":x}"#);
        assert_eq!(both, Err(DecodeError::Syntax("invalid character 'x' looking for beginning of value".into())));
    }

    #[test]
    fn quantities_and_times_become_canonical() {
        let text = r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1000m","memory":0.5}}}]},
            "metadata":{"deletionTimestamp":"2026-01-01T02:00:00.5+02:00"}}"#;
        let pod = read("v1/Pod", text).unwrap().tree;
        assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "1", "memory": "500m"}));
        assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-01-01T00:00:00Z");
    }
}
