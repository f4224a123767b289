//! Counts of one schema's requests at one level. Changed under the level's lock, so plain numbers.

use std::fmt::Write as _;
use std::time::Duration;

const SECONDS: &[f64] = &[0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
const SEATS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0];

/// How often a number was at most each of some bounds.
#[derive(Clone, Debug)]
pub struct Distribution {
    bounds: &'static [f64],
    below: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Distribution {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, below: vec![0; bounds.len()], count: 0, sum: 0.0 }
    }

    pub fn observe(&mut self, value: f64) {
        if let Some(at) = self.bounds.iter().position(|bound| value <= *bound) {
            self.below[at] += 1;
        }
        self.count += 1;
        self.sum += value;
    }

    /// Writes its sample lines; nothing if nothing was observed.
    pub fn render(&self, name: &str, labels: &str, page: &mut String) {
        if self.count == 0 {
            return;
        }
        let mut below = 0;
        for (bound, count) in self.bounds.iter().zip(&self.below) {
            below += count;
            let _ = writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let (count, sum) = (self.count, self.sum);
        let _ = writeln!(page, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(page, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }
}

#[derive(Clone, Debug)]
pub struct Tally {
    pub dispatched: u64,
    /// Turned away, by reason.
    pub queue_full: u64,
    pub no_seat: u64,
    pub timed_out: u64,
    pub waiting: i64,
    pub waiting_seats: i64,
    pub running: i64,
    pub running_seats: i64,
    pub waits: Distribution,
    pub waits_in_vain: Distribution,
    pub takes: Distribution,
    pub widths: Distribution,
}

impl Default for Tally {
    fn default() -> Self {
        let seconds = Distribution::new(SECONDS);
        Self {
            dispatched: 0,
            queue_full: 0,
            no_seat: 0,
            timed_out: 0,
            waiting: 0,
            waiting_seats: 0,
            running: 0,
            running_seats: 0,
            waits: seconds.clone(),
            waits_in_vain: seconds.clone(),
            takes: seconds,
            widths: Distribution::new(SEATS),
        }
    }
}

impl Tally {
    pub fn begin(&mut self, seats: u32, waited: Duration) {
        self.dispatched += 1;
        self.running += 1;
        self.running_seats += i64::from(seats);
        self.waits.observe(waited.as_secs_f64());
    }

    pub fn end(&mut self, seats: u32, took: Duration) {
        self.running -= 1;
        self.running_seats -= i64::from(seats);
        self.takes.observe(took.as_secs_f64());
    }
}
