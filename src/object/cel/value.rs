//! Values of CEL, and how objects become them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::authorizer::Question;
use crate::object::schema::custom::Props;
use crate::object::tree::{Map, Tree};

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    List(Arc<Vec<Value>>),
    Map(Arc<BTreeMap<Key, Value>>),
    /// A map with the type that it was made as (`Object.spec{…}`).
    Object(Arc<str>, Arc<BTreeMap<Key, Value>>),
    Optional(Option<Arc<Value>>),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    /// Nanoseconds.
    Duration(i128),
    Type(Arc<str>),
    Quantity(Arc<str>),
    Url(Arc<str>),
    Ip(IpAddr),
    Cidr(IpNet),
    Semver(Arc<Semver>),
    /// A named format, such as `dns1123Label`.
    Format(Arc<str>),
    Authorizer(Arc<Question>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<str>),
}

/// A semantic version. Numbers, then what stands behind a dash, part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver {
    pub numbers: [u64; 3],
    pub pre: Vec<String>,
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<&Tree> for Value {
    fn from(tree: &Tree) -> Self {
        match tree {
            Tree::Null => Self::Null,
            Tree::Bool(flag) => Self::Bool(*flag),
            Tree::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Int(number),
                (None, Some(number)) => Self::Uint(number),
                _ => Self::Double(number.as_f64().unwrap_or_default()),
            },
            Tree::String(text) => Self::from(text.as_str()),
            Tree::Array(items) => Self::list(items.iter().map(Self::from)),
            Tree::Object(map) => Self::map(map.iter().map(|(key, value)| (key.as_str(), Self::from(value)))),
        }
    }
}

impl Value {
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(Arc::new(items.into_iter().collect()))
    }

    pub fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Self)>) -> Self {
        Self::Map(Arc::new(entries.into_iter().map(|(key, value)| (Key::String(key.into()), value)).collect()))
    }

    /// A value as its schema types it: formats become times, bytes and durations.
    pub fn typed(tree: &Tree, schema: &Props) -> Self {
        match (tree, schema.r#type.as_str()) {
            (Tree::Object(map), _) => Self::map(map.iter().map(|(key, value)| {
                let typed = schema.child(key).map_or_else(|| Self::from(value), |child| Self::typed(value, child));
                (key.as_str(), typed)
            })),
            (Tree::Array(items), _) => match schema.items.as_deref() {
                Some(schema) => Self::list(items.iter().map(|item| Self::typed(item, schema))),
                None => Self::from(tree),
            },
            (Tree::Number(number), "number") => Self::Double(number.as_f64().unwrap_or_default()),
            (Tree::String(text), "string") => match schema.format.as_str() {
                "date-time" | "datetime" => {
                    super::time::timestamp(text).map_or_else(|| Self::from(tree), Self::Timestamp)
                }
                "date" => super::time::timestamp(&format!("{text}T00:00:00Z"))
                    .map_or_else(|| Self::from(tree), Self::Timestamp),
                "duration" => super::time::duration(text).map_or_else(|| Self::from(tree), Self::Duration),
                "byte" => {
                    use base64::Engine;
                    let decoded = base64::prelude::BASE64_STANDARD.decode(text);
                    decoded.map_or_else(|_| Self::from(tree), |bytes| Self::Bytes(bytes.into()))
                }
                _ => Self::from(tree),
            },
            _ => Self::from(tree),
        }
    }

    /// The value as JSON, where there is such a form.
    pub fn to_tree(&self) -> Option<Tree> {
        Some(match self {
            Self::Null => Tree::Null,
            Self::Bool(flag) => (*flag).into(),
            Self::Int(number) => (*number).into(),
            Self::Uint(number) => (*number).into(),
            Self::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => (*number as i64).into(),
            Self::Double(number) => (*number).into(),
            Self::String(text) | Self::Quantity(text) | Self::Url(text) => text.as_ref().into(),
            Self::Bytes(bytes) => {
                use base64::Engine;
                base64::prelude::BASE64_STANDARD.encode(bytes).into()
            }
            Self::List(items) => Tree::Array(items.iter().map(Self::to_tree).collect::<Option<_>>()?),
            Self::Map(map) | Self::Object(_, map) => {
                let entry = |(key, value): (&Key, &Self)| Some((key.to_string(), value.to_tree()?));
                Tree::Object(map.iter().map(entry).collect::<Option<Map>>()?)
            }
            Self::Optional(inner) => inner.as_ref().map_or(Some(Tree::Null), |inner| inner.to_tree())?,
            Self::Timestamp(_) | Self::Duration(_) | Self::Ip(_) | Self::Cidr(_) => self.to_string().into(),
            Self::Type(_) | Self::Semver(_) | Self::Format(_) | Self::Authorizer(_) => return None,
        })
    }

    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(name, _) => name,
            Self::Optional(_) => "optional_type",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorizer(_) => "kubernetes.authorization.Authorizer",
        }
    }

    pub fn str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Uint(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// How two values of one kind are ordered; `None` for kinds that have no order.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Uint(a), Self::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) | (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    pub fn key(&self) -> Option<Key> {
        match self {
            Self::Bool(flag) => Some(Key::Bool(*flag)),
            Self::Int(number) => Some(Key::Int(*number)),
            Self::Uint(number) => Some(i64::try_from(*number).map_or(Key::Uint(*number), Key::Int)),
            Self::Double(number) if number.fract() == 0.0 => Some(Key::Int(*number as i64)),
            Self::String(text) => Some(Key::String(text.clone())),
            _ => None,
        }
    }

    /// How much work it is to look at all of it.
    pub fn size_cost(&self) -> u64 {
        match self {
            Self::String(text) => text.len() as u64 / 10,
            Self::Bytes(bytes) => bytes.len() as u64 / 10,
            Self::List(items) => items.len() as u64,
            Self::Map(map) | Self::Object(_, map) => map.len() as u64,
            _ => 0,
        }
    }
}

impl From<Key> for Value {
    fn from(key: Key) -> Self {
        match key {
            Key::Bool(flag) => Self::Bool(flag),
            Key::Int(number) => Self::Int(number),
            Key::Uint(number) => Self::Uint(number),
            Key::String(text) => Self::String(text),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => flag.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Uint(number) => number.fmt(f),
            Self::String(text) => text.fmt(f),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a) | Self::Object(_, a), Self::Map(b) | Self::Object(_, b)) => a == b,
            (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Type(a), Self::Type(b)) | (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => super::kinds::compare_quantities(a, b) == Some(Ordering::Equal),
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a == b,
            _ => self.order(other) == Some(Ordering::Equal),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => flag.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Uint(number) => number.fmt(f),
            Self::Double(number) => f.write_str(&crate::object::schema::custom::go_number(*number)),
            Self::String(text) | Self::Quantity(text) | Self::Url(text) | Self::Type(text) | Self::Format(text) => {
                f.write_str(text)
            }
            Self::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::Timestamp(nanos) => f.write_str(&super::time::show_timestamp(*nanos)),
            Self::Duration(nanos) => f.write_str(&super::time::show_duration(*nanos)),
            Self::Ip(ip) => ip.fmt(f),
            Self::Cidr(net) => net.fmt(f),
            Self::Semver(version) => {
                let [major, minor, patch] = version.numbers;
                write!(f, "{major}.{minor}.{patch}")?;
                if version.pre.is_empty() { Ok(()) } else { write!(f, "-{}", version.pre.join(".")) }
            }
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Map(map) | Self::Object(_, map) => {
                f.write_str("{")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
            Self::Optional(Some(inner)) => write!(f, "optional({inner})"),
            Self::Optional(None) => f.write_str("optional.none()"),
            Self::Authorizer(_) => f.write_str("authorizer"),
        }
    }
}
