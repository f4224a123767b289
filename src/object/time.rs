//! Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds or microseconds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC with nanosecond precision; written with whole seconds (`metav1.Time`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

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

impl From<Timestamp> for serde_json::Value {
    fn from(time: Timestamp) -> Self {
        Self::String(time.to_string())
    }
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
}
