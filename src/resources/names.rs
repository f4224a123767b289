//! Formats of names, labels and other short texts, with upstream's complaints.
//!
//! Every function returns what is wrong with a text; nothing means it is well-formed. Where a name
//! may be a prefix (`generateName`), one trailing dash is allowed.

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

use crate::object::field::FieldErrors;

use super::check::At;

type Complaints = Vec<String>;

pub fn dns1123_label(name: &str, is_prefix: bool) -> Complaints {
    is_dns1123_label(&masked(name, is_prefix))
}

pub fn dns1123_subdomain(name: &str, is_prefix: bool) -> Complaints {
    is_dns1123_subdomain(&masked(name, is_prefix))
}

pub fn dns1035_label(name: &str, is_prefix: bool) -> Complaints {
    is_dns1035_label(&masked(name, is_prefix))
}

/// Anything that fits into a URL path: names of RBAC objects.
pub fn path_segment(name: &str, is_prefix: bool) -> Complaints {
    let mut complaints = Vec::new();
    if !is_prefix && matches!(name, "." | "..") {
        complaints.push(format!("may not be '{name}'"));
        return complaints;
    }
    for bad in ["/", "%"] {
        if name.contains(bad) {
            complaints.push(format!("may not contain '{bad}'"));
        }
    }
    complaints
}

/// What follows a prefix will end it, so its trailing dash does not count.
fn masked(name: &str, is_prefix: bool) -> std::borrow::Cow<'_, str> {
    match name.strip_suffix('-') {
        Some(rest) if is_prefix && !rest.is_empty() => {
            let mut kept = rest.to_owned();
            kept.pop();
            (kept + "a").into()
        }
        _ => name.into(),
    }
}

pub fn is_dns1123_label(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 63 {
        complaints.push(too_long(63));
    }
    if !is_label(value) {
        complaints.push(if is_subdomain(value) {
            "must not contain dots".into()
        } else {
            regex(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                 and end with an alphanumeric character",
                DNS1123_LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    complaints
}

pub fn is_dns1123_subdomain(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 253 {
        complaints.push(too_long(253));
    }
    if !is_subdomain(value) {
        complaints.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            DNS1123_SUBDOMAIN,
            &["example.com"],
        ));
    }
    complaints
}

/// As a subdomain, whose labels may begin with and contain underscores (DNS search paths).
pub fn is_dns1123_subdomain_with_underscore(value: &str) -> Complaints {
    let inner = |c: u8| lower_or_digit(c) || c == b'-' || c == b'_';
    let label = |label: &str| {
        let rest = label.strip_prefix('_').unwrap_or(label);
        framed(rest, lower_or_digit, inner, lower_or_digit)
    };
    let mut complaints = Vec::new();
    if value.len() > 253 {
        complaints.push(too_long(253));
    }
    if !value.split('.').all(label) {
        complaints.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and \
             must start and end with an alphanumeric character",
            r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    complaints
}

pub fn is_wildcard_dns1123_subdomain(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 253 {
        complaints.push(too_long(253));
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        complaints.push(regex(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
             consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{DNS1123_SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    complaints
}

pub fn is_dns1035_label(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 63 {
        complaints.push(too_long(63));
    }
    if !framed(value, |c| c.is_ascii_lowercase(), lower_digit_dash, lower_or_digit) {
        complaints.push(regex(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            DNS1035_LABEL,
            &["my-name", "abc-123"],
        ));
    }
    complaints
}

/// A label key: a name with an optional subdomain before it.
pub fn is_qualified_name(value: &str) -> Complaints {
    const MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                           alphanumeric character";
    const EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];
    let mut complaints = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        ["", name] => {
            complaints.push("prefix part must be non-empty".into());
            name
        }
        [prefix, name] => {
            let in_bytes = |complaint: String| complaint.replace("253 characters", "253 bytes");
            let of_prefix = is_dns1123_subdomain(prefix).into_iter().map(in_bytes);
            complaints.extend(of_prefix.map(|complaint| format!("prefix part {complaint}")));
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex(MESSAGE, LABEL_KEY, EXAMPLES)
            )];
        }
    };
    if name.is_empty() {
        complaints.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        complaints.push("name part must be no more than 63 bytes".into());
    }
    if !is_label_text(name) {
        complaints.push(format!("name part {}", regex(MESSAGE, LABEL_KEY, EXAMPLES)));
    }
    complaints
}

pub fn is_label_value(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 63 {
        complaints.push("must be no more than 63 bytes".into());
    }
    if !value.is_empty() && !is_label_text(value) {
        complaints.push(regex(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character",
            &format!("({LABEL_KEY})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    complaints
}

/// The name of an environment variable: printable ASCII but `=`.
pub fn is_relaxed_env_var_name(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.is_empty() {
        complaints.push("environment variable name must be non-empty".into());
    }
    if !value.bytes().all(|c| (b' '..=b'~').contains(&c) && c != b'=') {
        complaints.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='".into(),
        );
    }
    complaints
}

/// A key of a ConfigMap or Secret: a file name.
pub fn is_config_map_key(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 253 {
        complaints.push(too_long(253));
    }
    if value.is_empty() || !value.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)) {
        complaints.push(regex(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    complaints.extend(dot_dot(value));
    complaints
}

fn dot_dot(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".into()),
        ".." => Some("must not be '..'".into()),
        _ => value.starts_with("..").then(|| "must not start with '..'".into()),
    }
}

/// The name of a port (an IANA service name).
pub fn is_port_name(value: &str) -> Complaints {
    let mut complaints = Vec::new();
    if value.len() > 15 {
        complaints.push(too_long(15));
    }
    if value.is_empty() || !value.bytes().all(lower_digit_dash) {
        complaints.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !value.bytes().any(|c| c.is_ascii_lowercase()) {
        complaints.push("must contain at least one letter (a-z)".into());
    }
    if value.contains("--") {
        complaints.push("must not contain consecutive hyphens".into());
    }
    if value.starts_with('-') || value.ends_with('-') {
        complaints.push("must not begin or end with a hyphen".into());
    }
    complaints
}

pub fn is_port_number(port: i64) -> Complaints {
    in_range(port, 1, 65535)
}

/// User and group ids.
pub fn is_id(id: i64) -> Complaints {
    in_range(id, 0, i64::from(i32::MAX))
}

pub fn in_range(value: i64, low: i64, high: i64) -> Complaints {
    let inside = (low..=high).contains(&value);
    if inside { Vec::new() } else { vec![format!("must be between {low} and {high}, inclusive")] }
}

pub fn is_percent(value: &str) -> Complaints {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) {
        return Vec::new();
    }
    vec![regex("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", &["1%", "93%"])]
}

pub fn is_http_header_name(value: &str) -> Complaints {
    if !value.is_empty() && value.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        return Vec::new();
    }
    vec![regex(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

pub fn is_c_identifier(value: &str) -> Complaints {
    let first = |c: u8| c.is_ascii_alphabetic() || c == b'_';
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    if framed(value, first, inner, inner) {
        return Vec::new();
    }
    vec![regex(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric \
         characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// The reason of a condition.
pub fn is_condition_reason(value: &str) -> Complaints {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"_,:".contains(&c);
    let last = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    if framed(value, |c| c.is_ascii_alphabetic(), inner, last) {
        return Vec::new();
    }
    vec![regex(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
         characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

/// A path after a domain, such as `example.com/ingress-controller`.
pub fn check_prefixed_path(place: &At, errors: &mut FieldErrors) {
    match place.str().split_once('/') {
        _ if place.is_empty() => place.required(errors, ""),
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            for complaint in is_dns1123_subdomain(host) {
                errors.invalid(&*place.path, host, complaint);
            }
            let allowed = |c: u8| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c);
            if !path.bytes().all(allowed) {
                errors.invalid(&*place.path, path, regex("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]));
            }
        }
        _ => place.invalid(errors, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

/// Upstream's words for a text that does not match a regular expression.
pub fn regex(message: &str, expression: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{expression}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{expression}')", examples.join(" or "))
}

pub fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

fn lower_or_digit(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn lower_digit_dash(c: u8) -> bool {
    lower_or_digit(c) || c == b'-'
}

fn is_label(value: &str) -> bool {
    framed(value, lower_or_digit, lower_digit_dash, lower_or_digit)
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

fn is_label_text(value: &str) -> bool {
    let outer = |c: u8| c.is_ascii_alphanumeric();
    framed(value, outer, |c| c.is_ascii_alphanumeric() || b"-_.".contains(&c), outer)
}

/// Whether a text begins with one kind of character, ends with another, and has a third between.
/// A single character has to be a first one only.
fn framed(value: &str, first: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool, last: impl Fn(u8) -> bool) -> bool {
    match value.as_bytes() {
        [] => false,
        [only] => first(*only),
        [head, middle @ .., end] => first(*head) && middle.iter().all(|c| inner(*c)) && last(*end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_subdomains_tell_what_they_want() {
        assert!(is_dns1123_label("a-1").is_empty() && is_dns1123_subdomain("a.b-c.1").is_empty());
        assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(is_dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert!(is_dns1123_label("-a")[0].ends_with(
            "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ));
    }

    #[test]
    fn a_prefix_may_end_in_a_dash() {
        assert!(dns1123_label("web-", true).is_empty());
        assert!(!dns1123_label("web-", false).is_empty());
        assert!(!dns1123_label("-", true).is_empty());
    }

    #[test]
    fn qualified_names_have_one_slash_at_most() {
        assert!(is_qualified_name("example.com/My_name.x").is_empty());
        assert_eq!(is_qualified_name("/x"), ["prefix part must be non-empty"]);
        assert_eq!(is_qualified_name("a/")[0], "name part must be non-empty");
        assert!(is_qualified_name("a/b/c")[0].contains("with an optional DNS subdomain prefix"));
    }
}
