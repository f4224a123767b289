//! What calls of functions cost, and how large what they give is.

use super::range::{PATTERN, Range, TRAVERSAL, UNKNOWN, just};
use super::{Estimate, Of};

/// Of one check whether somebody may do something, so that a rule has room for two.
const CHECK: u64 = 350_000;
/// Of the pattern of a named format.
const FORMAT_PATTERN: f64 = 128.0;
const LIST: u64 = 10;

/// What a call costs without its arguments, the size of what it gives, and what that is.
pub struct Called<'d> {
    pub cost: Range,
    pub size: Option<Range>,
    pub of: Of<'d>,
}

/// A call of `name`; `target` is what stands before the dot.
pub fn call<'d>(name: &str, target: Option<&Estimate<'d>>, args: &[Estimate<'d>]) -> Called<'d> {
    let size = |of: &Estimate<'_>| of.size.unwrap_or(UNKNOWN);
    let plain = |of: Of<'d>| Called { cost: just(1), size: None, of };
    let costs = |cost: Range, of: Of<'d>| Called { cost, size: None, of };
    let sized = |cost: Range, size: Range, of: Of<'d>| Called { cost, size: Some(size), of };
    let scaled = |of: &Estimate<'_>| size(of).scaled(TRAVERSAL);
    let all: Vec<&Estimate<'d>> = target.into_iter().chain(args).collect();
    let list_call = |factor: f64, size: Range, of: Of<'d>| sized(size.scaled(factor).plus(just(1 + LIST)), size, of);
    match (name, target, args) {
        ("check", ..) => costs(just(CHECK), Of::Dyn),
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(of), _) => {
            let gives = match name {
                "isSorted" => Of::Bool,
                "indexOf" | "lastIndexOf" => Of::Scalar,
                _ => of.of.items(),
            };
            match &of.of {
                Of::String => costs(scaled(of), gives),
                list => {
                    let text = match list.items() {
                        Of::String | Of::Bytes => of.element_size().scaled(TRAVERSAL),
                        _ => just(0),
                    };
                    costs(size(of).times(just(1).plus(text)), gives)
                }
            }
        }
        ("url" | "jsonpatch.escapeKey", None, [text]) => {
            sized(scaled(text), size(text), if name == "url" { Of::Dyn } else { Of::String })
        }
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(text), _) => {
            sized(scaled(text), size(text), Of::String)
        }
        ("replace", Some(text), [from, to, ..]) => {
            sized(size(text).scaled(2.0 * TRAVERSAL), replaced(size(text), size(from), size(to)), Of::String)
        }
        ("split", Some(text), _) => {
            let parts = Range { min: 0, max: args.get(1).and_then(|count| count.count).unwrap_or(size(text).max) };
            sized(size(text).scaled(2.0 * TRAVERSAL), parts, Of::list(Of::String))
        }
        ("join", Some(list), _) => {
            let texts = size(list).times(list.element_size());
            let between = args.first().map_or(just(0), |text| {
                let gaps = Range { min: size(list).min.saturating_sub(1), max: size(list).max.saturating_sub(1) };
                size(text).times(gaps)
            });
            let joined = texts.plus(between);
            sized(joined.scaled(TRAVERSAL), joined, Of::String)
        }
        ("find" | "findAll", Some(text), [pattern, ..]) => {
            let of = if name == "find" { Of::String } else { Of::list(Of::String) };
            sized(matching(size(text), size(pattern)), Range { min: 0, max: size(text).max }, of)
        }
        ("matches", Some(text), [pattern]) => costs(matching(size(text), size(pattern)), Of::Bool),
        ("contains", Some(text), [part]) => costs(scaled(text).times(scaled(part)), Of::Bool),
        ("startsWith" | "endsWith", Some(_), [part]) => costs(scaled(part), Of::Bool),
        ("ip", Some(_), _) => plain(Of::Dyn),
        ("isIP" | "isCIDR" | "isQuantity" | "isSemver", _, [text, ..]) => costs(scaled(text), Of::Bool),
        ("ip" | "cidr" | "quantity" | "semver", _, [text, ..]) => costs(scaled(text), Of::Dyn),
        ("ip.isCanonical", _, [text]) => costs(size(text).scaled(2.0 * TRAVERSAL), Of::Bool),
        ("containsIP" | "containsCIDR", Some(_), [other]) => {
            let bytes = Range { min: 4, max: 16 };
            let compared = bytes.plus(bytes).scaled(TRAVERSAL);
            let masked = if name == "containsCIDR" { bytes.scaled(TRAVERSAL).plus(just(1)) } else { just(0) };
            let parsed = if matches!(other.of, Of::String) { scaled(other) } else { just(0) };
            costs(compared.plus(masked).plus(parsed), Of::Bool)
        }
        ("validate", Some(_), [text]) => costs(scaled(text).scaled(FORMAT_PATTERN * PATTERN), Of::Dyn),
        ("fieldSelector" | "labelSelector", _, [text]) => {
            let requirements = size(text).scaled(0.5).scaled(50.0);
            costs(just(LIST).plus(scaled(text)).plus(requirements), Of::Dyn)
        }
        ("format", Some(text), _) => costs(scaled(text), Of::String),
        ("strings.quote", None, [text]) => {
            let Range { min, max } = size(text);
            let quoted = Range { min: min.saturating_add(2), max: max.saturating_mul(2).saturating_add(2) };
            sized(scaled(text), quoted, Of::String)
        }
        ("bytes", None, [text]) if matches!(text.of, Of::String) => {
            let size = size(text);
            sized(size.scaled(TRAVERSAL), Range { min: size.min, max: size.max.saturating_mul(4) }, Of::Bytes)
        }
        ("string", None, [bytes]) if matches!(bytes.of, Of::Bytes) => {
            let size = size(bytes);
            sized(size.scaled(TRAVERSAL), Range { min: size.min / 4, max: size.max }, Of::String)
        }
        ("sets.contains" | "sets.intersects", None, [a, b]) => costs(size(a).times(size(b)).plus(just(1)), Of::Bool),
        ("sets.equivalent", None, [a, b]) => costs(size(a).times(size(b)).scaled(2.0).plus(just(1)), Of::Bool),
        ("distinct" | "sort", Some(list), []) => list_call(2.0, size(list).times(size(list)), list.of.clone()),
        ("reverse", Some(list), []) if !matches!(list.of, Of::String) => list_call(1.0, size(list), list.of.clone()),
        ("flatten", Some(list), []) => list_call(1.0, size(list), list.of.items()),
        ("size", ..) => plain(Of::Scalar),
        ("string" | "charAt" | "strings", ..) => plain(Of::String),
        ("int" | "uint" | "double" | "timestamp" | "duration" | "compareTo" | "asInteger" | "sign", ..) => {
            plain(Of::Scalar)
        }
        (name, ..) if name.starts_with("is") || matches!(name, "bool" | "hasValue") => plain(Of::Bool),
        (name, Some(_), _) if name.starts_with("get") && all.iter().all(|of| !matches!(of.of, Of::Dyn)) => {
            plain(Of::Scalar)
        }
        _ => plain(Of::Dyn),
    }
}

/// The product must not be nothing where only the text is empty.
fn matching(text: Range, pattern: Range) -> Range {
    text.plus(just(1)).scaled(TRAVERSAL).times(pattern.scaled(PATTERN))
}

/// How long a text is after `from` has become `to` everywhere.
fn replaced(text: Range, from: Range, to: Range) -> Range {
    let divided = |a: u64, b: u64| (a as f64 / b as f64).ceil() as u64;
    let (count_max, kept_max) = match from.min {
        0 => (text.max.saturating_add(1), text.max),
        _ if to.max <= from.min => (0, text.max),
        shortest => (divided(text.max, shortest), 0),
    };
    let (count_min, kept_min) = match from.max {
        0 => (text.min.saturating_add(1), text.min),
        longest if longest <= to.min => (0, text.min),
        longest => (divided(text.min, longest), 0),
    };
    let count = Range { min: count_min, max: count_max };
    count.times(to).plus(Range { min: kept_min, max: kept_max })
}
