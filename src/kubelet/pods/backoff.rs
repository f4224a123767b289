//! How long a container that keeps ending waits before it is started again.
//!
//! The first restart is immediate; then 10 s, doubling to 5 minutes. A run that lasted more than
//! ten minutes after the last restart starts the count anew.

use std::collections::HashMap;
use std::time::Duration;

use crate::object::Timestamp;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Default)]
pub struct BackOff(HashMap<String, Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    updated_at: Timestamp,
}

/// A wait that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub delay: Duration,
    pub until: Timestamp,
}

impl BackOff {
    /// The wait that `name`, which failed at `failed_at`, is still in.
    pub fn waiting(&self, name: &str, failed_at: Timestamp, now: Timestamp) -> Option<Waiting> {
        let entry = self.0.get(name).filter(|entry| !entry.is_forgotten(failed_at))?;
        let until = failed_at + entry.delay;
        (now < until).then_some(Waiting { delay: entry.delay, until })
    }

    /// Notes that `name`, which failed at `failed_at`, is tried again now.
    pub fn tried(&mut self, name: &str, failed_at: Timestamp, now: Timestamp) {
        let delay = match self.0.get(name) {
            Some(entry) if !entry.is_forgotten(failed_at) => (entry.delay * 2).min(LONGEST),
            _ => FIRST,
        };
        self.0.insert(name.to_owned(), Entry { delay, updated_at: now });
    }

    pub fn clear(&mut self, name: &str) {
        self.0.remove(name);
    }
}

impl Entry {
    fn is_forgotten(&self, failed_at: Timestamp) -> bool {
        failed_at.since(self.updated_at) > FORGOTTEN_AFTER
    }
}

/// A duration as Go prints it, for the whole seconds that back-offs are: `10s`, `1m20s`, `5m0s`.
pub fn go_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match (secs / 3600, secs % 3600 / 60, secs % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn waits_double_and_a_long_run_forgives() {
        let mut backoff = BackOff::default();
        assert_eq!(backoff.waiting("web", at(0), at(0)), None);
        backoff.tried("web", at(0), at(0));
        let waiting = backoff.waiting("web", at(1), at(5)).unwrap();
        assert_eq!((waiting.delay, waiting.until), (FIRST, at(11)));
        backoff.tried("web", at(1), at(11));
        assert_eq!(backoff.waiting("web", at(12), at(20)).unwrap().until, at(32));
        assert_eq!(backoff.waiting("web", at(700), at(700)), None);
        backoff.tried("web", at(700), at(700));
        assert_eq!(backoff.waiting("web", at(701), at(702)).unwrap().delay, FIRST);
    }

    #[test]
    fn durations_read_as_go_prints_them() {
        let shown = [10, 80, 300, 3661].map(|secs| go_duration(Duration::from_secs(secs)));
        assert_eq!(shown, ["10s", "1m20s", "5m0s", "1h1m1s"]);
    }
}
