//! Hashes of pod templates, as they appear in names and labels.
//!
//! Upstream hashes the text that its debug printer makes of the Go struct, with every type name in
//! it. Rollouts made by upstream are only recognised, and names only agree, if we print the same, so
//! this walks the template along a table of those Go types and feeds the text to the hash.
//!
//! Not printed as upstream does: quantities beyond 64 bits.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::object::tree::{Map, Tree};

/// Types and fields in Go's words. A struct is its name, then a line for each field: Go name, JSON
/// name (`-` for an embedded struct), type. Other named types stand with what they are.
const TYPES: &str = include_str!("template_types.txt");

/// Characters that hashes are written in: those of generated names.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The value of the `pod-template-hash` label.
pub fn template_hash(template: &Tree, collision_count: Option<i64>) -> String {
    let mut text = String::new();
    print(&mut text, "v1.PodTemplateSpec", Some(template), true);
    let mut bytes = text.into_bytes();
    if let Some(count) = collision_count {
        bytes.extend((count as u64 & 0xffff_ffff).to_le_bytes());
    }
    safe_encode(&fnv32a(&bytes).to_string())
}

/// The hash in the name of a controller revision, over its data as it is encoded.
pub fn revision_hash(data: &[u8], collision_count: Option<i64>) -> String {
    let mut bytes = data.to_vec();
    if let Some(count) = collision_count {
        bytes.extend(count.to_string().as_bytes());
    }
    safe_encode(&fnv32(&bytes).to_string())
}

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME))
}

fn fnv32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(FNV_OFFSET, |hash, byte| hash.wrapping_mul(FNV_PRIME) ^ u32::from(*byte))
}

/// Text with characters that cannot spell words.
fn safe_encode(text: &str) -> String {
    text.bytes().map(|byte| SAFE[usize::from(byte) % SAFE.len()] as char).collect()
}

enum Type {
    Struct(Vec<Field>),
    /// A named type that is `string`, a map, a slice, …
    Named(&'static str),
}

struct Field {
    go: &'static str,
    json: &'static str,
    of: &'static str,
}

fn types() -> &'static HashMap<&'static str, Type> {
    static PARSED: OnceLock<HashMap<&'static str, Type>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let mut types = HashMap::new();
        let mut current = "";
        for line in TYPES.lines() {
            let words: Vec<&'static str> = line.split_whitespace().collect();
            match (line.starts_with(' '), words.as_slice()) {
                (true, &[go, json, of]) => {
                    if let Some(Type::Struct(fields)) = types.get_mut(current) {
                        fields.push(Field { go, json, of });
                    }
                }
                (false, &[name, "=", of]) => drop(types.insert(name, Type::Named(of))),
                (false, &[name]) => {
                    current = name;
                    types.insert(name, Type::Struct(Vec::new()));
                }
                _ => debug_assert!(false, "unreadable line {line:?}"),
            }
        }
        types
    })
}

/// Prints `value` as a Go value of type `of`, with the type before it if asked to.
fn print(out: &mut String, of: &'static str, value: Option<&Tree>, with_type: bool) {
    let value = value.filter(|value| !value.is_null());
    if with_type {
        out.push_str(&format!("({of})"));
    }
    if let Some(pointee) = of.strip_prefix('*') {
        return match value {
            None => out.push_str("<nil>"),
            Some(value) => print(out, pointee, Some(value), false),
        };
    }
    if let Some(items) = of.strip_prefix("[]") {
        return print_list(out, items, value.and_then(Tree::as_array));
    }
    if let Some((_, values)) = of.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        return print_map(out, values, value.and_then(Tree::as_object));
    }
    match (of, types().get(of)) {
        ("resource.Quantity", _) => print_quantity(out, value.and_then(Tree::as_str).unwrap_or("0")),
        // Templates carry no times of their own.
        ("v1.Time", _) => out.push_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"),
        ("intstr.IntOrString", _) => print_int_or_string(out, value),
        ("string", _) => out.push_str(value.and_then(Tree::as_str).unwrap_or_default()),
        ("bool", _) => out.push_str(if value == Some(&Tree::Bool(true)) { "true" } else { "false" }),
        (_, Some(Type::Struct(fields))) => print_struct(out, fields, value),
        (_, Some(Type::Named(of))) => print(out, of, value, false),
        (_, None) => out.push_str(&value.and_then(Tree::as_i64).unwrap_or(0).to_string()),
    }
}

fn print_struct(out: &mut String, fields: &'static [Field], value: Option<&Tree>) {
    out.push('{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(field.go);
        out.push(':');
        let inner = if field.json == "-" { value } else { value.and_then(|value| value.get(field.json)) };
        print(out, field.of, inner, true);
    }
    out.push('}');
}

/// Empty lists and maps do not survive upstream's wire format, so they print as nil.
fn print_list(out: &mut String, items: &'static str, list: Option<&Vec<Tree>>) {
    let Some(list) = list.filter(|list| !list.is_empty()) else { return out.push_str("<nil>") };
    out.push('[');
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        print(out, items, Some(item), false);
    }
    out.push(']');
}

fn print_map(out: &mut String, values: &'static str, map: Option<&Map>) {
    let Some(map) = map.filter(|map| !map.is_empty()) else { return out.push_str("<nil>") };
    out.push_str("map[");
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(key);
        out.push(':');
        print(out, values, Some(value), false);
    }
    out.push(']');
}

fn print_int_or_string(out: &mut String, value: Option<&Tree>) {
    let (kind, int, text) = match value {
        Some(Tree::String(text)) => (1, 0, text.as_str()),
        value => (0, value.and_then(Tree::as_i64).unwrap_or(0), ""),
    };
    out.push_str(&format!("{{Type:(intstr.Type){kind} IntVal:(int32){int} StrVal:(string){text}}}"));
}

fn print_quantity(out: &mut String, text: &str) {
    let Parsed { value, scale, cached, format } = parse_quantity(text);
    let cached = if cached { text } else { "" };
    out.push_str(&format!(
        "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} \
         d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){cached} Format:(resource.Format){format}}}"
    ));
}

/// A quantity as upstream's parser leaves it in memory.
struct Parsed {
    value: i64,
    scale: i32,
    /// The parser keeps the text of numbers that it finds canonical at a glance.
    cached: bool,
    format: &'static str,
}

fn parse_quantity(text: &str) -> Parsed {
    if text == "0" {
        return Parsed { value: 0, scale: 0, cached: true, format: "DecimalSI" };
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    let negative = text.starts_with('-');
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let digits = format!("{whole}{fraction}");
    let value: i64 = digits.parse().unwrap_or(0);
    let signed = |value: i64| if negative { -value } else { value };
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix);
    if let Some(index) = binary {
        let exponent = 10 * (index as u32 + 1);
        let cached = value & 7 != 0;
        return Parsed { value: signed(value.wrapping_shl(exponent)), scale: 0, cached, format: "BinarySI" };
    }
    let (exponent, format) = match suffix {
        "n" => (-9, "DecimalSI"),
        "u" => (-6, "DecimalSI"),
        "m" => (-3, "DecimalSI"),
        "k" => (3, "DecimalSI"),
        "M" => (6, "DecimalSI"),
        "G" => (9, "DecimalSI"),
        "T" => (12, "DecimalSI"),
        "P" => (15, "DecimalSI"),
        "E" => (18, "DecimalSI"),
        "" => (0, "DecimalSI"),
        exponent => (exponent[1..].parse().unwrap_or(0), "DecimalExponent"),
    };
    let scale = exponent - fraction.len() as i32;
    let cached = scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0');
    Parsed { value: signed(value), scale, cached, format }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    /// Hashes that upstream gave to the same templates.
    #[test]
    fn templates_hash_as_upstream_hashes_them() {
        let full = json!({
            "metadata": {"labels": {"b": "1", "a": "x"}, "creationTimestamp": null},
            "spec": {
                "volumes": [
                    {"name": "v", "emptyDir": {"sizeLimit": "1Gi"}},
                    {"name": "cm", "configMap": {"name": "x", "defaultMode": 420}},
                ],
                "containers": [{
                    "name": "c", "image": "i",
                    "resources": {
                        "requests": {"cpu": "100m", "memory": "64Mi"},
                        "limits": {"cpu": "1", "memory": "1536Mi", "example.com/x": "1e3"},
                    },
                    "livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10},
                    "readinessProbe": {"tcpSocket": {"port": "http"}},
                    "env": [
                        {"name": "A", "value": "b"},
                        {"name": "B", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                        {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}},
                    ],
                    "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "Always",
                }],
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                "securityContext": {}, "schedulerName": "default-scheduler",
                "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            },
        });
        assert_eq!(template_hash(&full, None), "6ff54cccb4");
        let plain = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [{
                    "name": "c", "image": "registry.example/app:1.0", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent",
                }],
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                "securityContext": {}, "schedulerName": "default-scheduler",
            },
        });
        assert_eq!(template_hash(&plain, None), "5f75c4d66f");
        assert_ne!(template_hash(&plain, Some(1)), template_hash(&plain, Some(0)));
    }

    #[test]
    fn quantities_keep_the_text_that_is_canonical_at_a_glance() {
        let cached = |text| parse_quantity(text).cached;
        assert!(cached("100m") && cached("1Gi") && cached("1e3") && cached("100500k"));
        assert!(!cached("64Mi") && !cached("1000Mi"));
    }
}
