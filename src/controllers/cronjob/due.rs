//! Which of a schedule's times counts now.

use std::time::Duration;

use crate::object::Timestamp;
use crate::object::cron::Schedule;
use crate::object::zone::Zone;

/// From how many missed times on somebody should be told.
const MISSED_MANY: u64 = 100;

#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// No date ever fits the schedule.
    Never,
    /// Nothing was missed since the last time.
    Later,
    /// The latest time that was missed.
    At { time: Timestamp, missed_many: bool },
}

/// The latest time that is past, of those after `last`; what was due longer than `deadline` ago is
/// not looked for.
pub fn latest(schedule: &Schedule, zone: &Zone, last: Timestamp, now: Timestamp, deadline: Option<Duration>) -> Due {
    let earliest = deadline.map_or(last, |deadline| last.max(now - deadline));
    let Some(first) = schedule.next(earliest, zone) else { return Due::Never };
    let Some(second) = schedule.next(first, zone) else { return Due::Never };
    if now < first {
        return Due::Later;
    }
    if now < second {
        return Due::At { time: first, missed_many: false };
    }
    let period = second.since(first).as_secs().max(1);
    let missed = now.since(first).as_secs() / period + 1;
    let time = match schedule.every_seconds {
        Some(_) => first + Duration::from_secs((missed - 1) * period),
        None => latest_since(schedule, zone, first, now, Duration::from_secs(period)),
    };
    Due::At { time, missed_many: missed > MISSED_MANY }
}

/// The latest time from `first` to `now`. It is looked for at the end, then further and further back:
/// there may be a year's worth of minutes.
fn latest_since(schedule: &Schedule, zone: &Zone, first: Timestamp, now: Timestamp, period: Duration) -> Timestamp {
    let (mut latest, mut back) = (first, period);
    loop {
        let from = first.max(now - back);
        let mut at = from;
        while let Some(next) = schedule.next(at, zone).filter(|next| *next <= now) {
            (latest, at) = (next, next);
        }
        if latest > first || from == first {
            return latest;
        }
        back = back.saturating_mul(2);
    }
}

/// The first time after now.
pub fn next(schedule: &Schedule, zone: &Zone, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
    // What is due every so often counts from the last time, not from now.
    let from = match latest(schedule, zone, last, now, None) {
        Due::At { time, .. } => time,
        Due::Later => last,
        Due::Never => return None,
    };
    schedule.next(from, zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn latest_of(schedule: &str, last: &str, now: &str, deadline: Option<u64>) -> Due {
        let schedule = Schedule::parse(schedule).unwrap();
        latest(&schedule, &Zone::UTC, at(last), at(now), deadline.map(Duration::from_secs))
    }

    #[test]
    fn of_several_missed_times_the_latest_counts() {
        let due = |schedule, now| latest_of(schedule, "2026-01-01T00:00:30Z", now, None);
        assert_eq!(due("0 * * * *", "2026-01-01T00:59:59Z"), Due::Later);
        let one = Due::At { time: at("2026-01-01T01:00:00Z"), missed_many: false };
        assert_eq!(due("0 * * * *", "2026-01-01T01:00:00Z"), one);
        let latest = Due::At { time: at("2026-01-01T05:00:00Z"), missed_many: false };
        assert_eq!(due("0 * * * *", "2026-01-01T05:30:00Z"), latest);
        let weekdays = Due::At { time: at("2026-01-02T14:30:00Z"), missed_many: false };
        assert_eq!(due("30 6-16/4 * * 1-5", "2026-01-04T12:00:00Z"), weekdays);
        let steady = Due::At { time: at("2026-01-01T00:03:30Z"), missed_many: false };
        assert_eq!(due("@every 90s", "2026-01-01T00:04:59Z"), steady);
        assert_eq!(due("0 0 31 2 *", "2026-01-04T12:00:00Z"), Due::Never);
    }

    #[test]
    fn a_deadline_hides_what_is_too_old() {
        let due = |deadline| latest_of("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T10:00:30Z", deadline);
        let time = at("2026-01-01T10:00:00Z");
        assert_eq!(due(None), Due::At { time, missed_many: true });
        assert_eq!(due(Some(200)), Due::At { time, missed_many: false });
        assert_eq!(due(Some(20)), Due::Later);
    }
}
