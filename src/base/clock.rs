//! The only place that asks what time it is.
//!
//! Everything that waits or stamps takes a [`Clock`], so that tests and the simulator run hours in
//! milliseconds. Time here is a plain number; what it means is the caller's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock and monotonic time.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970. May jump when the machine's clock is set.
    fn wall_nanos(&self) -> i128;
    /// Time since some fixed moment. Never goes back.
    fn elapsed(&self) -> Duration;
}

pub type ClockRef = Arc<dyn Clock>;

/// The machine's clock.
pub struct SystemClock(Instant);

impl SystemClock {
    pub fn shared() -> ClockRef {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for SystemClock {
    fn wall_nanos(&self) -> i128 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        }
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still until it is told to move.
pub struct ManualClock {
    start_nanos: i128,
    elapsed_nanos: AtomicU64,
}

impl ManualClock {
    pub fn starting_at(start_nanos: i128) -> Arc<Self> {
        Arc::new(Self { start_nanos, elapsed_nanos: AtomicU64::new(0) })
    }

    pub fn advance(&self, by: Duration) {
        self.elapsed_nanos.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_nanos(&self) -> i128 {
        self.start_nanos + i128::from(self.elapsed_nanos.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_nanos.load(Ordering::SeqCst))
    }
}
