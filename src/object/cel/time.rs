//! Points in time and spans of it.

use super::value::Value;
use crate::object::time::Timestamp;

type Outcome = Result<Value, String>;

const SECOND: i128 = 1_000_000_000;
const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

/// Nanoseconds since 1970 of an RFC 3339 text.
pub fn timestamp(text: &str) -> Option<i128> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_nanosecond())
}

/// Nanoseconds of a Go duration such as `1h30m` or `-1.5s`.
pub fn duration(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0i128;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let tail = &rest[end..];
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &tail[..unit_len])?;
        total += (number * *unit as f64).round() as i128;
        rest = &tail[unit_len..];
    }
    (!text.is_empty()).then_some(sign * total)
}

pub fn show_timestamp(nanos: i128) -> String {
    match jiff::Timestamp::from_nanosecond(nanos) {
        Ok(time) => time.to_string(),
        Err(_) => Timestamp::from_nanos(0).to_string(),
    }
}

pub fn show_duration(nanos: i128) -> String {
    let seconds = nanos as f64 / SECOND as f64;
    format!("{seconds}s")
}

pub fn method(of: &Value, name: &str, args: &[Value]) -> Option<Outcome> {
    let int = |number: i128| Some(Ok(Value::Int(number as i64)));
    if let Value::Duration(nanos) = of {
        return match (name, args) {
            ("getHours", []) => int(nanos / (3_600 * SECOND)),
            ("getMinutes", []) => int(nanos / (60 * SECOND)),
            ("getSeconds", []) => int(nanos / SECOND),
            ("getMilliseconds", []) => int(nanos / 1_000_000),
            _ => None,
        };
    }
    let Value::Timestamp(nanos) = of else { return None };
    let offset = match args {
        [] => 0,
        [Value::String(zone)] => match zone_offset(zone) {
            Some(offset) => offset,
            None => return Some(Err(format!("unknown time zone {zone}"))),
        },
        _ => return None,
    };
    let time = jiff::Timestamp::from_nanosecond(nanos + offset).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    match name {
        "getFullYear" => int(time.year().into()),
        "getMonth" => int(i128::from(time.month()) - 1),
        "getDate" => int(time.day().into()),
        "getDayOfMonth" => int(i128::from(time.day()) - 1),
        "getDayOfYear" => int(i128::from(time.day_of_year()) - 1),
        "getDayOfWeek" => int(time.weekday().to_sunday_zero_offset().into()),
        "getHours" => int(time.hour().into()),
        "getMinutes" => int(time.minute().into()),
        "getSeconds" => int(time.second().into()),
        "getMilliseconds" => int(time.millisecond().into()),
        _ => None,
    }
}

/// Nanoseconds east of UTC; names of places are not known here.
fn zone_offset(zone: &str) -> Option<i128> {
    if zone == "UTC" {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (hours.parse::<i128>().ok()? * 3_600 + minutes.parse::<i128>().ok()? * 60) * SECOND)
}
