//! Kubernetes' own kinds of values: quantities, URLs, addresses, networks, versions, formats.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::value::{Semver, Value};
use crate::object::Quantity;

type Outcome = Result<Value, String>;

pub fn function(name: &str, args: &[Value]) -> Option<Outcome> {
    if let Some(format) = name.strip_prefix("format.").filter(|format| *format != "named") {
        return args.is_empty().then(|| Ok(Value::Optional(Some(Arc::new(Value::Format(format.into()))))));
    }
    let Some(Value::String(text)) = args.first() else { return None };
    let is = |held: bool| Some(Ok(Value::Bool(held)));
    match name {
        "format.named" => {
            let known = super::functions::FORMATS.contains(&text.as_ref());
            Some(Ok(Value::Optional(known.then(|| Arc::new(Value::Format(text.clone()))))))
        }
        "isQuantity" => is(Quantity::parse(text).is_ok()),
        "quantity" => Some(match Quantity::parse(text) {
            Ok(_) => Ok(Value::Quantity(text.clone())),
            Err(error) => Err(error.to_string()),
        }),
        "isIP" => is(text.parse::<IpAddr>().is_ok()),
        "ip" => Some(text.parse().map(Value::Ip).map_err(|_| {
            format!(
                "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
            )
        })),
        "ip.isCanonical" => Some(
            text.parse::<IpAddr>()
                .map(|ip| Value::Bool(ip.to_string() == text.as_ref()))
                .map_err(|error| error.to_string()),
        ),
        "isCIDR" => is(text.parse::<IpNet>().is_ok()),
        "cidr" => Some(
            text.parse()
                .map(Value::Cidr)
                .map_err(|_| format!("network address parse error during conversion from string: {text:?}")),
        ),
        "isURL" => is(url_parts(text).is_some()),
        "url" => Some(match url_parts(text) {
            Some(_) => Ok(Value::Url(text.clone())),
            None => {
                Err(format!("URL parse error during conversion from string: parse {text:?}: invalid URI for request"))
            }
        }),
        "isSemver" => is(semver(text, args.get(1) == Some(&Value::Bool(true))).is_some()),
        "semver" => Some(match semver(text, args.get(1) == Some(&Value::Bool(true))) {
            Some(version) => Ok(Value::Semver(version.into())),
            None => Err(format!("parse error on semver {text:?}: No Major.Minor.Patch elements found")),
        }),
        _ => None,
    }
}

pub fn method(of: &Value, name: &str, args: &[Value]) -> Option<Outcome> {
    match of {
        Value::Quantity(text) => quantity_method(text, name, args),
        Value::Url(text) => url_method(text, name, args),
        Value::Ip(ip) => ip_method(*ip, name, args),
        Value::Cidr(net) => cidr_method(net, name, args),
        Value::Semver(version) => semver_method(version, name, args),
        Value::Format(format) => match (name, args) {
            ("validate", [Value::String(text)]) => Some(Ok(validate(format, text))),
            _ => None,
        },
        _ => None,
    }
}

pub fn compare_quantities(a: &str, b: &str) -> Option<Ordering> {
    Some(Quantity::parse(a).ok()?.cmp(&Quantity::parse(b).ok()?))
}

fn ordered(order: Ordering, name: &str) -> Option<Outcome> {
    Some(Ok(match name {
        "compareTo" => Value::Int(order as i64),
        "isLessThan" => Value::Bool(order == Ordering::Less),
        "isGreaterThan" => Value::Bool(order == Ordering::Greater),
        _ => return None,
    }))
}

fn quantity_method(text: &str, name: &str, args: &[Value]) -> Option<Outcome> {
    let number = |text: &str| Quantity::parse(text).map_or(0.0, |quantity| quantity.approximate());
    let own = number(text);
    let is_whole = own.fract() == 0.0 && own.abs() < 9.2e18;
    match (name, args) {
        (_, [Value::Quantity(other)]) if matches!(name, "compareTo" | "isLessThan" | "isGreaterThan") => {
            ordered(compare_quantities(text, other)?, name)
        }
        ("sign", []) => Some(Ok(Value::Int(if own > 0.0 {
            1
        } else if own < 0.0 {
            -1
        } else {
            0
        }))),
        ("isInteger", []) => Some(Ok(Value::Bool(is_whole))),
        ("asInteger", []) if is_whole => Some(Ok(Value::Int(own as i64))),
        ("asInteger", []) => Some(Err("cannot convert value to integer".into())),
        ("asApproximateFloat", []) => Some(Ok(Value::Double(own))),
        ("add" | "sub", [other]) => {
            let other = match other {
                Value::Quantity(other) => number(other),
                Value::Int(other) => *other as f64,
                _ => return None,
            };
            let result = if name == "add" { own + other } else { own - other };
            let text =
                if result.fract() == 0.0 { format!("{result}") } else { format!("{}m", (result * 1000.0).round()) };
            Some(Ok(Value::Quantity(text.into())))
        }
        _ => None,
    }
}

/// Scheme, host with port, path and query.
fn url_parts(text: &str) -> Option<(&str, &str, &str, &str)> {
    if text.contains(|c: char| c.is_control() || c == ' ') || text.is_empty() {
        return None;
    }
    let (rest, _) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if rest.starts_with('/') {
        return Some(("", "", rest, query));
    }
    let (scheme, rest) = rest.split_once("://")?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let end = rest.find('/').unwrap_or(rest.len());
    valid.then(|| (scheme, &rest[..end], &rest[end..], query))
}

fn url_method(text: &str, name: &str, args: &[Value]) -> Option<Outcome> {
    let (scheme, authority, path, query) = url_parts(text)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (hostname, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, rest)) => (inner, rest.trim_start_matches(':')),
        None => host.rsplit_once(':').unwrap_or((host, "")),
    };
    let found = match (name, args) {
        ("getScheme", []) => scheme,
        ("getHost", []) => host,
        ("getHostname", []) => hostname,
        ("getPort", []) => port,
        ("getEscapedPath", []) => path,
        ("getQuery", []) => {
            let mut pairs: std::collections::BTreeMap<&str, Vec<Value>> = Default::default();
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                pairs.entry(key).or_default().push(Value::from(value));
            }
            return Some(Ok(Value::map(pairs.into_iter().map(|(key, values)| (key, Value::list(values))))));
        }
        _ => return None,
    };
    Some(Ok(Value::from(found)))
}

fn ip_method(ip: IpAddr, name: &str, args: &[Value]) -> Option<Outcome> {
    if !args.is_empty() {
        return None;
    }
    let link_local = |multicast: bool| match ip {
        IpAddr::V4(ip) => {
            if multicast {
                ip.octets()[..3] == [224, 0, 0]
            } else {
                ip.is_link_local()
            }
        }
        IpAddr::V6(ip) => {
            let first = ip.segments()[0];
            if multicast { first & 0xff0f == 0xff02 } else { first & 0xffc0 == 0xfe80 }
        }
    };
    Some(Ok(match name {
        "family" => Value::Int(if ip.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Value::Bool(ip.is_unspecified()),
        "isLoopback" => Value::Bool(ip.is_loopback()),
        "isLinkLocalMulticast" => Value::Bool(link_local(true)),
        "isLinkLocalUnicast" => Value::Bool(link_local(false)),
        "isGlobalUnicast" => {
            Value::Bool(!ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !link_local(false))
        }
        _ => return None,
    }))
}

fn cidr_method(net: &IpNet, name: &str, args: &[Value]) -> Option<Outcome> {
    let bad = |text: &str| Some(Err(format!("network address parse error during conversion from string: {text:?}")));
    Some(Ok(match (name, args) {
        ("containsIP", [Value::Ip(ip)]) => Value::Bool(net.contains(ip)),
        ("containsIP", [Value::String(text)]) => match text.parse::<IpAddr>() {
            Ok(ip) => Value::Bool(net.contains(&ip)),
            Err(_) => return bad(text),
        },
        ("containsCIDR", [Value::Cidr(other)]) => Value::Bool(net.contains(other)),
        ("containsCIDR", [Value::String(text)]) => match text.parse::<IpNet>() {
            Ok(other) => Value::Bool(net.contains(&other)),
            Err(_) => return bad(text),
        },
        ("ip", []) => Value::Ip(net.addr()),
        ("masked", []) => Value::Cidr(net.trunc()),
        ("prefixLength", []) => Value::Int(net.prefix_len().into()),
        _ => return None,
    }))
}

/// Reads a version; a lenient one may begin with `v`, lack parts and have leading zeros.
fn semver(text: &str, lenient: bool) -> Option<Semver> {
    let text = if lenient { text.strip_prefix('v').unwrap_or(text) } else { text };
    let (text, _) = text.split_once('+').unwrap_or((text, ""));
    let (core, pre) = text.split_once('-').unwrap_or((text, ""));
    let parts: Vec<&str> = core.split('.').collect();
    if parts.len() > 3 || (parts.len() < 3 && !lenient) {
        return None;
    }
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(&parts) {
        let is_plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_plain || (!lenient && part.len() > 1 && part.starts_with('0')) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    let pre: Vec<String> = if pre.is_empty() { Vec::new() } else { pre.split('.').map(str::to_owned).collect() };
    let is_word = |part: &String| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    pre.iter().all(is_word).then_some(Semver { numbers, pre })
}

fn semver_method(version: &Semver, name: &str, args: &[Value]) -> Option<Outcome> {
    let [major, minor, patch] = version.numbers;
    Some(Ok(Value::Int(match (name, args) {
        ("major", []) => major as i64,
        ("minor", []) => minor as i64,
        ("patch", []) => patch as i64,
        (_, [Value::Semver(other)]) => return ordered(compare_versions(version, other), name),
        _ => return None,
    })))
}

fn compare_versions(a: &Semver, b: &Semver) -> Ordering {
    let part = |a: &String, b: &String| match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    };
    a.numbers.cmp(&b.numbers).then_with(|| match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let different = a.pre.iter().zip(&b.pre).map(|(a, b)| part(a, b)).find(|order| order.is_ne());
            different.unwrap_or_else(|| a.pre.len().cmp(&b.pre.len()))
        }
    })
}

/// What is wrong with a text of a named format; nothing if nothing.
fn validate(format: &str, text: &str) -> Value {
    use crate::object::schema::custom::fits_format;
    let label = |text: &str, max: usize, letter_first: bool, prefix: bool| {
        let text = if prefix { text.trim_end_matches('-') } else { text };
        let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let ok = !text.is_empty()
            && text.len() <= max
            && text.bytes().all(is_inner)
            && !text.starts_with('-')
            && !text.ends_with('-')
            && !(letter_first && text.starts_with(|c: char| c.is_ascii_digit()));
        (!ok).then(|| "must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character".to_owned())
    };
    let subdomain = |text: &str, prefix: bool| text.split('.').find_map(|part| label(part, 253, false, prefix));
    let complaint = match format {
        "dns1123Label" => label(text, 63, false, false),
        "dns1123LabelPrefix" => label(text, 63, false, true),
        "dns1035Label" => label(text, 63, true, false),
        "dns1035LabelPrefix" => label(text, 63, true, true),
        "dns1123Subdomain" => subdomain(text, false),
        "dns1123SubdomainPrefix" => subdomain(text, true),
        "qualifiedName" | "labelValue" => {
            let name = text.rsplit('/').next().unwrap_or(text);
            let is_edge = |c: char| c.is_ascii_alphanumeric();
            let ok = name.len() <= 63
                && name.chars().all(|c| is_edge(c) || "-_.".contains(c))
                && (name.is_empty() && format == "labelValue" || name.starts_with(is_edge) && name.ends_with(is_edge));
            (!ok).then(|| "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character".to_owned())
        }
        other => (!fits_format(other, text)).then(|| format!("invalid {other}")),
    };
    Value::Optional(complaint.map(|complaint| Arc::new(Value::list([Value::from(complaint)]))))
}
