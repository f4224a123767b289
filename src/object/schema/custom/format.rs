//! String formats that values are checked against; unknown ones say nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::props::Props;
use crate::object::time::Timestamp;

type Check = fn(&str) -> bool;

/// Formats by name, without dashes, and what fits them.
const FORMATS: &[(&str, Check)] = &[
    ("bsonobjectid", |text| text.len() == 24 && is_hex(text)),
    ("uri", is_uri),
    ("email", is_email),
    ("hostname", is_hostname),
    ("ipv4", |text| text.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |text| text.parse::<Ipv6Addr>().is_ok()),
    ("cidr", |text| text.parse::<ipnet::IpNet>().is_ok()),
    ("mac", is_mac),
    ("uuid", |text| is_uuid(text, None)),
    ("uuid3", |text| is_uuid(text, Some('3'))),
    ("uuid4", |text| is_uuid(text, Some('4'))),
    ("uuid5", |text| is_uuid(text, Some('5'))),
    ("isbn", |text| is_isbn10(text) || is_isbn13(text)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("creditcard", is_credit_card),
    ("ssn", is_ssn),
    ("hexcolor", |text| matches!(text.trim_start_matches('#').len(), 3 | 6) && is_hex(text.trim_start_matches('#'))),
    ("rgbcolor", is_rgb),
    ("byte", |text| BASE64_STANDARD.decode(text.replace(['\r', '\n'], "")).is_ok()),
    ("password", |_| true),
    ("date", is_date),
    ("duration", is_duration),
    ("datetime", is_date_time),
    ("k8sshortname", is_short_name),
    ("k8slongname", |text| text.len() <= 253 && text.split('.').all(is_short_name_part)),
];

/// The format of a schema that has an effect on its values; `""` where it has none.
pub fn of(schema: &Props) -> &str {
    if is_supported(&schema.r#type, &schema.format) { &schema.format } else { "" }
}

/// Whether `format` means something for values of type `kind`.
pub fn is_supported(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => find(format).is_some(),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Whether a text is what its format says; formats that are not known let everything pass.
pub fn fits(format: &str, text: &str) -> bool {
    find(format).is_none_or(|check| check(text))
}

fn find(format: &str) -> Option<Check> {
    let name = format.replace('-', "");
    FORMATS.iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_uri(text: &str) -> bool {
    match text.split_once(':') {
        _ if text.starts_with('/') => !text.contains(char::is_whitespace),
        Some((scheme, rest)) => {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
                && !rest.is_empty()
                && !text.contains(|c: char| c.is_control() || c == ' ')
        }
        None => false,
    }
}

fn is_email(text: &str) -> bool {
    let address = match (text.find('<'), text.strip_suffix('>')) {
        (Some(at), Some(inner)) => &inner[at + 1..],
        _ => text,
    };
    let Some((user, host)) = address.rsplit_once('@') else { return false };
    let is_atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    !user.is_empty() && !host.is_empty() && user.chars().all(is_atom) && host.chars().all(is_atom)
}

fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let labels: Vec<&str> = text.split('.').collect();
    let last_is_name =
        labels.len() == 1 || labels.last().is_some_and(|top| top.len() > 1 && top.chars().all(char::is_alphabetic));
    text.len() <= 255 && labels.iter().all(|label| is_label(label)) && last_is_name
}

fn is_mac(text: &str) -> bool {
    [':', '-', '.'].iter().any(|separator| {
        let parts: Vec<&str> = text.split(*separator).collect();
        let (width, counts): (usize, &[usize]) = if *separator == '.' { (4, &[3, 4, 10]) } else { (2, &[6, 8, 20]) };
        counts.contains(&parts.len()) && parts.iter().all(|part| part.len() == width && is_hex(part))
    })
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let dashes_fit = match text.len() {
        32 => true,
        36 => [8, 13, 18, 23].iter().all(|at| text.as_bytes()[*at] == b'-'),
        _ => false,
    };
    let variant = digits.chars().nth(16).map(|c| c.to_ascii_lowercase());
    dashes_fit
        && digits.len() == 32
        && is_hex(&digits)
        && version.is_none_or(|version| digits.chars().nth(12) == Some(version))
        && (!matches!(version, Some('4' | '5')) || matches!(variant, Some('8' | '9' | 'a' | 'b')))
}

fn plain_isbn(text: &str) -> Vec<u8> {
    text.bytes().filter(|b| !matches!(b, b'-' | b' ')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = plain_isbn(text);
    let value = |at: usize, b: u8| match b {
        b'X' if at == 9 => Some(10),
        b'0'..=b'9' => Some(u32::from(b - b'0')),
        _ => None,
    };
    let sum: Option<u32> = digits.iter().enumerate().map(|(at, b)| Some((at as u32 + 1) * value(at, *b)?)).sum();
    digits.len() == 10 && sum.is_some_and(|sum| sum % 11 == 0)
}

fn is_isbn13(text: &str) -> bool {
    let digits = plain_isbn(text);
    let weighted =
        |(at, b): (usize, &u8)| b.is_ascii_digit().then(|| u32::from(b - b'0') * if at % 2 == 0 { 1 } else { 3 });
    let sum: Option<u32> = digits.iter().enumerate().map(weighted).sum();
    digits.len() == 13 && sum.is_some_and(|sum| sum % 10 == 0)
}

fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let luhn: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    (13..=16).contains(&digits.len()) && luhn % 10 == 0
}

fn is_ssn(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let rest: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    digits.len() == 9 && rest.len() <= 2 && rest.chars().all(|c| c == '-' || c == ' ')
}

fn is_rgb(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    })
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z")).is_some()
}

/// RFC 3339, of which the zone may be left out, and seconds may have a fraction.
fn is_date_time(text: &str) -> bool {
    Timestamp::parse(text).is_some() || Timestamp::parse(&format!("{text}Z")).is_some()
}

/// As Go reads durations, or in words (`2 days`).
fn is_duration(text: &str) -> bool {
    const UNITS: &[&str] = &[
        "ns", "us", "µs", "μs", "ms", "s", "m", "h", "d", "w", "nano", "micro", "milli", "sec", "secs", "second",
        "seconds", "min", "mins", "minute", "minutes", "hr", "hour", "hours", "day", "days", "wk", "week", "weeks",
    ];
    let mut rest = text.trim().trim_start_matches(['-', '+']);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit_text = rest[number..].trim_start();
        let end = unit_text.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(unit_text.len());
        if number == 0 || !UNITS.contains(&unit_text[..end].to_lowercase().as_str()) {
            return false;
        }
        rest = unit_text[end..].trim_start();
    }
    true
}

fn is_short_name(text: &str) -> bool {
    text.len() <= 63 && is_short_name_part(text)
}

fn is_short_name_part(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_upstream_takes() {
        for (format, good, bad) in [
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("date-time", "2026-01-01T00:00:00.5Z", "2026-01-01"),
            ("date", "2026-01-31", "2026-02-31"),
            ("duration", "1h30m", "1x"),
            ("uuid", "5d7c1f3a-0000-4000-8000-000000000000", "5d7c"),
            ("byte", "aGk=", "***"),
            ("mac", "00:1a:2b:3c:4d:5e", "00:1a"),
            ("isbn", "0321751043", "0321751044"),
            ("hostname", "a.example.com", "-a"),
            ("email", "a@b.c", "a"),
            ("unheard-of", "anything", ""),
        ] {
            assert!(fits(format, good), "{format} {good}");
            assert!(bad.is_empty() || !fits(format, bad), "{format} {bad}");
        }
    }
}
