//! The library: functions and methods by name, and what each takes.

use std::sync::Arc;

use super::authorizer::{self, Authorizer};
use super::value::Value;
use super::{kinds, lists, strings, time};

type Outcome = Result<Value, String>;

/// Every function that is not a method.
const FUNCTIONS: &[&str] = &[
    "size",
    "has",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "dyn",
    "type",
    "timestamp",
    "duration",
    "matches",
    "url",
    "isURL",
    "quantity",
    "isQuantity",
    "ip",
    "isIP",
    "ip.isCanonical",
    "cidr",
    "isCIDR",
    "semver",
    "isSemver",
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "base64.encode",
    "base64.decode",
    "strings.quote",
    "format.named",
    "jsonpatch.escapeKey",
    "startsWith",
    "contains",
    "endsWith",
    "math.greatest",
    "math.least",
    "math.abs",
    "math.ceil",
    "math.floor",
    "math.round",
];

/// Formats that have a function of their own: `format.dns1123Label()`.
pub const FORMATS: &[&str] = &[
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

pub fn is_known(name: &str) -> bool {
    FUNCTIONS.contains(&name) || name.strip_prefix("format.").is_some_and(|format| FORMATS.contains(&format))
}

/// Calls `name(args…)`; `None` if it does not take these.
pub fn function(name: &str, args: &[Value]) -> Option<Outcome> {
    match (name, args) {
        ("size", [of]) => method("size", std::slice::from_ref(of), None),
        ("dyn", [value]) => Some(Ok(value.clone())),
        ("type", [value]) => Some(Ok(Value::Type(value.type_name().into()))),
        ("int" | "uint" | "double" | "string" | "bool" | "bytes" | "timestamp" | "duration", [value]) => {
            Some(convert(name, value))
        }
        ("optional.of", [value]) => Some(Ok(Value::Optional(Some(Arc::new(value.clone()))))),
        ("optional.none", []) => Some(Ok(Value::Optional(None))),
        ("optional.ofNonZeroValue", [value]) => {
            Some(Ok(Value::Optional((!is_zero(value)).then(|| Arc::new(value.clone())))))
        }
        ("base64.encode", [Value::Bytes(bytes)]) => {
            use base64::Engine;
            Some(Ok(Value::from(base64::prelude::BASE64_STANDARD.encode(bytes))))
        }
        ("base64.decode", [Value::String(text)]) => {
            use base64::Engine;
            let decoded = base64::prelude::BASE64_STANDARD.decode(text.as_bytes());
            Some(decoded.map(|bytes| Value::Bytes(bytes.into())).map_err(|error| error.to_string()))
        }
        ("jsonpatch.escapeKey", [Value::String(text)]) => {
            Some(Ok(Value::from(text.replace('~', "~0").replace('/', "~1"))))
        }
        ("math.greatest" | "math.least", args) => lists::extreme(name == "math.greatest", args),
        ("math.abs", [Value::Int(number)]) => Some(Ok(Value::Int(number.saturating_abs()))),
        ("math.abs", [Value::Double(number)]) => Some(Ok(Value::Double(number.abs()))),
        ("math.ceil", [Value::Double(number)]) => Some(Ok(Value::Double(number.ceil()))),
        ("math.floor", [Value::Double(number)]) => Some(Ok(Value::Double(number.floor()))),
        ("math.round", [Value::Double(number)]) => Some(Ok(Value::Double(number.round()))),
        _ => lists::function(name, args)
            .or_else(|| kinds::function(name, args))
            .or_else(|| strings::function(name, args)),
    }
}

/// Calls `args[0].name(rest…)`; `None` if there is no such method for these.
pub fn method(name: &str, args: &[Value], authorizer: Option<&dyn Authorizer>) -> Option<Outcome> {
    let (of, rest) = args.split_first()?;
    let int = |n: usize| Some(Ok(Value::Int(n as i64)));
    match (of, name, rest) {
        (Value::String(text), "size", []) => int(text.chars().count()),
        (Value::Bytes(bytes), "size", []) => int(bytes.len()),
        (Value::List(items), "size", []) => int(items.len()),
        (Value::Map(map) | Value::Object(_, map), "size", []) => int(map.len()),
        (Value::Optional(inner), "hasValue", []) => Some(Ok(Value::Bool(inner.is_some()))),
        (Value::Optional(inner), "value", []) => {
            Some(inner.as_ref().map(|inner| inner.as_ref().clone()).ok_or_else(|| "optional.none() dereference".into()))
        }
        (Value::Optional(inner), "orValue", [other]) => {
            Some(Ok(inner.as_ref().map_or_else(|| other.clone(), |inner| inner.as_ref().clone())))
        }
        (Value::Optional(inner), "or", [other]) => Some(Ok(if inner.is_some() { of.clone() } else { other.clone() })),
        (Value::Authorizer(question), ..) => authorizer::call(question, name, rest, authorizer),
        (Value::Timestamp(_) | Value::Duration(_), ..) => time::method(of, name, rest),
        (Value::String(text), ..) => strings::method(text, name, rest),
        (Value::List(items), ..) => lists::method(items, name, rest),
        _ => kinds::method(of, name, rest),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Optional(None) | Value::Bool(false) | Value::Int(0) | Value::Uint(0) => true,
        Value::Double(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(map) | Value::Object(_, map) => map.is_empty(),
        Value::Duration(nanos) => *nanos == 0,
        _ => false,
    }
}

fn convert(name: &str, value: &Value) -> Outcome {
    let bad = || format!("type conversion error from '{}' to '{name}'", value.type_name());
    Ok(match (name, value) {
        ("string", Value::Bytes(bytes)) => Value::from(String::from_utf8(bytes.to_vec()).map_err(|_| "invalid UTF-8")?),
        ("string", Value::List(_) | Value::Map(_) | Value::Null) => return Err(bad()),
        ("string", value) => Value::from(value.to_string()),
        ("int", Value::Int(_)) | ("uint", Value::Uint(_)) | ("double", Value::Double(_)) | ("bool", Value::Bool(_)) => {
            value.clone()
        }
        ("bytes", Value::Bytes(_)) | ("timestamp", Value::Timestamp(_)) | ("duration", Value::Duration(_)) => {
            value.clone()
        }
        ("int", Value::Uint(number)) => Value::Int(i64::try_from(*number).map_err(|_| "integer overflow")?),
        ("int", Value::Double(number)) if number.abs() < 9.223_372_036_854_775e18 => Value::Int(*number as i64),
        ("int", Value::Double(_)) => return Err("integer overflow".into()),
        ("int", Value::String(text)) => Value::Int(text.parse().map_err(|_| bad())?),
        ("int", Value::Timestamp(nanos)) => Value::Int((nanos / 1_000_000_000) as i64),
        ("int", Value::Duration(nanos)) => Value::Int(*nanos as i64),
        ("uint", Value::Int(number)) => Value::Uint(u64::try_from(*number).map_err(|_| "unsigned integer overflow")?),
        ("uint", Value::Double(number)) if (0.0..1.8e19).contains(number) => Value::Uint(*number as u64),
        ("uint", Value::String(text)) => Value::Uint(text.parse().map_err(|_| bad())?),
        ("double", Value::Int(number)) => Value::Double(*number as f64),
        ("double", Value::Uint(number)) => Value::Double(*number as f64),
        ("double", Value::String(text)) => Value::Double(text.parse().map_err(|_| bad())?),
        ("bool", Value::String(text)) => match text.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Value::Bool(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Value::Bool(false),
            _ => return Err(bad()),
        },
        ("bytes", Value::String(text)) => Value::Bytes(text.as_bytes().into()),
        ("timestamp", Value::String(text)) => Value::Timestamp(time::timestamp(text).ok_or_else(bad)?),
        ("timestamp", Value::Int(secs)) => Value::Timestamp(i128::from(*secs) * 1_000_000_000),
        ("duration", Value::String(text)) => Value::Duration(time::duration(text).ok_or_else(bad)?),
        _ => return Err("no such overload".into()),
    })
}
