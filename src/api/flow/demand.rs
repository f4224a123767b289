//! How many seats a level was asked for: the measure by which seats are lent and borrowed.

use std::time::Duration;

/// How slowly less demand is believed.
const SMOOTHING: f64 = 0.977;

/// Averages a number over time.
#[derive(Clone, Debug, Default)]
pub struct Integrator {
    since: Duration,
    last: Duration,
    value: f64,
    max: f64,
    sum: f64,
    squares: f64,
}

/// What an integrator saw since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    pub time: Duration,
    pub average: f64,
    pub deviation: f64,
    pub max: f64,
}

impl Integrator {
    pub fn starting_at(now: Duration) -> Self {
        Self { since: now, last: now, ..Self::default() }
    }

    pub fn set(&mut self, now: Duration, value: f64) {
        self.advance(now);
        self.value = value;
        self.max = self.max.max(value);
    }

    /// Tells what was seen and begins anew.
    pub fn take(&mut self, now: Duration) -> Seen {
        self.advance(now);
        let time = now.saturating_sub(self.since);
        let secs = time.as_secs_f64();
        let mut seen = Seen { time, max: self.max, ..Seen::default() };
        if secs > 0.0 {
            seen.average = self.sum / secs;
            seen.deviation = (self.squares / secs - seen.average * seen.average).max(0.0).sqrt();
        }
        *self = Self { since: now, last: now, value: self.value, max: self.value, sum: 0.0, squares: 0.0 };
        seen
    }

    fn advance(&mut self, now: Duration) {
        let secs = now.saturating_sub(self.last).as_secs_f64();
        self.sum += self.value * secs;
        self.squares += self.value * self.value * secs;
        self.last = self.last.max(now);
    }
}

/// A level's demand, as it was in the last period and as it tends to be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    pub seen: Seen,
    pub high: u32,
    pub smoothed: f64,
}

impl Demand {
    /// Takes in what was seen over `periods`: more demand is believed at once, less slowly.
    pub fn update(&mut self, seen: Seen, periods: u32) {
        self.high = seen.max.round() as u32;
        self.seen = seen;
        let envelope = seen.average + seen.deviation;
        let kept = SMOOTHING.powi(periods.min(1_000) as i32);
        self.smoothed = envelope.max(kept * self.smoothed + (1.0 - kept) * envelope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_over_time() {
        let at = Duration::from_secs;
        let mut integrator = Integrator::starting_at(at(10));
        integrator.set(at(10), 4.0);
        integrator.set(at(15), 0.0);
        let seen = integrator.take(at(20));
        assert_eq!(seen, Seen { time: at(10), average: 2.0, deviation: 2.0, max: 4.0 });
        assert_eq!(integrator.take(at(21)).max, 0.0);
    }

    #[test]
    fn demand_rises_at_once_and_falls_slowly() {
        let seen = |average| Seen { time: Duration::from_secs(10), average, deviation: 0.0, max: average };
        let mut demand = Demand::default();
        demand.update(seen(100.0), 1);
        assert_eq!(demand.smoothed, 100.0);
        demand.update(seen(0.0), 1);
        assert_eq!(demand.smoothed, 97.7);
        demand.update(seen(0.0), 100);
        assert!(demand.smoothed < 10.0);
        assert_eq!(demand.high, 0);
    }
}
