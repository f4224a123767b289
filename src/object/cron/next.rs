//! When a schedule is due next.
//!
//! Clocks that are put forward skip what was due in the missing hour; clocks that are put back run
//! it twice. That is how upstream's library walks through the hours.

use std::time::Duration;

use jiff::Zoned;
use jiff::civil::Weekday;

use super::Schedule;
use crate::object::time::Timestamp;
use crate::object::zone::Zone;

/// Years to look ahead: a 29th of February that falls on a weekday can be that far away.
const YEARS_MAX: i16 = 5;
const MINUTE: i64 = 60;

impl Schedule {
    /// The first moment after `after` at which it is due on the clocks of `zone`; `None` if that is
    /// never, as on the 31st of February.
    pub fn next(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        if let Some(seconds) = self.every_seconds {
            return Some(Timestamp::from_secs(after.as_secs()) + Duration::from_secs(seconds));
        }
        let mut at = Timestamp::from_secs((after.as_secs().div_euclid(MINUTE) + 1) * MINUTE).0.to_zoned(zone.0.clone());
        let last_year = at.year() + YEARS_MAX;
        while at.year() <= last_year {
            at = if !has(self.months, at.month()) {
                next_month(&at)?
            } else if !self.is_day(&at) {
                at.tomorrow().ok()?.start_of_day().ok()?
            } else if !has(self.hours, at.hour()) {
                later(&at, MINUTE * (60 - i64::from(at.minute())))?
            } else if !has(self.minutes, at.minute()) {
                later(&at, MINUTE)?
            } else {
                return Some(Timestamp(at.timestamp()));
            };
        }
        None
    }

    /// Day of the month and weekday must both match where one of them is `*`; else one is enough.
    fn is_day(&self, at: &Zoned) -> bool {
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, Weekday::to_sunday_zero_offset(at.weekday()));
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set >> value & 1 == 1)
}

fn later(at: &Zoned, seconds: i64) -> Option<Zoned> {
    at.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}

fn next_month(at: &Zoned) -> Option<Zoned> {
    at.last_of_month().ok()?.tomorrow().ok()?.start_of_day().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: &str, zone: &str, after: &str, due: &[&str]) {
        let (schedule, zone) = (Schedule::parse(schedule).unwrap(), Zone::named(zone).unwrap());
        let mut at = Timestamp::parse(after).unwrap();
        for due in due {
            at = schedule.next(at, &zone).unwrap();
            assert_eq!(zone.print(at), *due);
        }
    }

    #[test]
    fn the_next_time_is_the_first_that_fits_all_fields() {
        check("*/20 * * * *", "", "2026-03-01T10:05:30Z", &["2026-03-01T10:20:00Z", "2026-03-01T10:40:00Z"]);
        check("0 6 1 1 *", "", "2026-03-01T10:05:30Z", &["2027-01-01T06:00:00Z"]);
        check("59 23 29 2 *", "", "2026-03-01T00:00:00Z", &["2028-02-29T23:59:00Z"]);
        check("@every 90s", "", "2026-03-01T10:05:30Z", &["2026-03-01T10:07:00Z"]);
    }

    #[test]
    fn a_day_and_a_weekday_are_alternatives() {
        check("0 0 13 * 5", "", "2026-03-01T00:00:00Z", &["2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z"]);
        check("0 0 */2 * 1", "", "2026-03-01T00:00:00Z", &["2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"]);
    }

    #[test]
    fn an_impossible_date_is_never_due() {
        let schedule = Schedule::parse("59 23 31 2 *").unwrap();
        assert_eq!(schedule.next(Timestamp::UNIX_EPOCH, &Zone::UTC), None);
    }

    #[test]
    fn clocks_that_change_skip_or_repeat() {
        let berlin = "Europe/Berlin";
        let spring = &["2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"];
        check("30 2 * * *", berlin, "2026-03-28T00:00:00Z", spring);
        let autumn = &["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"];
        check("30 2 * * *", berlin, "2026-10-25T00:00:00Z", autumn);
    }
}
