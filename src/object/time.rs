//! Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds or microseconds.

use super::quote::Quoted;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tree::{ToTree, Tree};

/// A moment in UTC with nanosecond precision; written with whole seconds (`metav1.Time`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub(super) jiff::Timestamp);

impl Timestamp {
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// Nanoseconds since 1970; times out of range are cut to the nearest that can be written.
    pub fn from_nanos(nanos: i128) -> Self {
        let fallback = if nanos < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::from_nanosecond(nanos).unwrap_or(fallback))
    }

    pub fn from_secs(secs: i64) -> Self {
        Self::from_nanos(i128::from(secs) * 1_000_000_000)
    }

    pub fn as_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    pub fn as_secs(self) -> i64 {
        self.0.as_second()
    }

    /// Reads RFC 3339 with any offset and precision, as Go's `time.RFC3339` does.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = (self.as_nanos() - earlier.as_nanos()).max(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whole seconds since `earlier`, negative if it is later.
    pub fn secs_since(self, earlier: Self) -> i64 {
        i64::try_from((self.as_nanos() - earlier.as_nanos()) / 1_000_000_000).unwrap_or(i64::MAX)
    }

    /// As mail headers have it: `Fri, 15 Jan 2027 08:00:00 +0000`.
    pub fn rfc1123(self) -> String {
        let time = self.0.to_zoned(jiff::tz::TimeZone::UTC);
        time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }

    /// Reads what HTTP has in its `Date`: `Fri, 15 Jan 2027 08:00:00 GMT`.
    pub fn parse_rfc1123(text: &str) -> Option<Self> {
        jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(Self)
    }

    /// As `metav1.MicroTime`: always six decimals.
    pub fn micros(self) -> String {
        let micros = self.as_nanos().rem_euclid(1_000_000_000) / 1_000;
        format!("{}.{micros:06}Z", self.to_string().trim_end_matches('Z'))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(by.as_nanos() as i128))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_sub(by.as_nanos() as i128))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.as_nanos().div_euclid(1_000_000_000);
        let whole = jiff::Timestamp::from_second(secs as i64).unwrap_or(self.0);
        whole.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not an RFC 3339 time")))
    }
}

impl From<Timestamp> for Tree {
    fn from(time: Timestamp) -> Self {
        Self::String(time.to_string())
    }
}

impl ToTree for Timestamp {
    fn to_tree(&self) -> Tree {
        (*self).into()
    }
}

/// A duration of whole seconds in the two or three digits that people read, as `kubectl` shows ages.
pub fn human_duration(secs: i64) -> String {
    let (minutes, hours) = (secs / 60, secs / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{small_unit}"),
    };
    match () {
        // Clocks of two machines differ a little.
        () if secs < -1 => "<invalid>".into(),
        () if secs < 0 => "0s".into(),
        () if secs < 120 => format!("{secs}s"),
        () if minutes < 10 => two(minutes, "m", secs % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 24 * 8 => two(days, "d", hours % 24, "h"),
        () if years < 2 => format!("{days}d"),
        () if years < 8 => two(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

/// Nanoseconds of a duration as Go reads it (`1h30m`, `-1.5s`); the error is Go's.
pub fn go_duration(text: &str) -> Result<i64, String> {
    const UNITS: &[(&str, f64)] = &[
        ("ns", 1.0),
        ("us", 1e3),
        ("\u{b5}s", 1e3),
        ("\u{3bc}s", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3_600e9),
    ];
    let quoted = Quoted(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, after) = rest.split_at(letters);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {quoted}"));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, size) = known.ok_or_else(|| format!("time: unknown unit {} in duration {quoted}", Quoted(unit)))?;
        nanos += number * size;
        rest = after;
    }
    if nanos >= i64::MAX as f64 { Err(invalid()) } else { Ok((sign * nanos) as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_cut_and_micros_kept() {
        let time = Timestamp::parse("2026-01-02T03:04:05.678901234+01:00").unwrap();
        assert_eq!(time.to_string(), "2026-01-02T02:04:05Z");
        assert_eq!(time.micros(), "2026-01-02T02:04:05.678901Z");
        assert_eq!((time + Duration::from_secs(60)).since(time), Duration::from_secs(60));
    }

    #[test]
    fn durations_are_gos_with_gos_complaints() {
        assert_eq!(go_duration("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(go_duration("-1.5s"), Ok(-1_500_000_000));
        assert_eq!(go_duration("0"), Ok(0));
        assert_eq!(go_duration("abc").unwrap_err(), "time: invalid duration \"abc\"");
        assert_eq!(go_duration("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(go_duration("5x1s").unwrap_err(), "time: unknown unit \"x\" in duration \"5x1s\"");
        assert_eq!(go_duration("9999999h").unwrap_err(), "time: invalid duration \"9999999h\"");
    }

    #[test]
    fn ages_are_short() {
        let shown = [0, 119, 120, 125, 600, 10800, 11100, 28800, 172800, 176400, 691200, 63072000, 63158400];
        let ages: Vec<String> = shown.into_iter().map(human_duration).collect();
        assert_eq!(ages.join(" "), "0s 119s 2m 2m5s 10m 3h 3h5m 8h 2d 2d1h 8d 2y 2y1d");
        assert_eq!(human_duration(-2), "<invalid>");
    }
}
