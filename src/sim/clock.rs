//! Simulated time as a server's clock; its wall clock may be set to anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::clock::Clock;

pub struct SimClock {
    started: Instant,
    /// By how many milliseconds the wall clock is wrong.
    off_ms: AtomicI64,
}

impl SimClock {
    pub fn shared() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), off_ms: AtomicI64::new(0) })
    }

    pub fn jump(&self, by_ms: i64) {
        self.off_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_nanos(&self) -> i128 {
        const SOME_DAY: i128 = 1_800_000_000_000_000_000;
        SOME_DAY
            + self.started.elapsed().as_nanos() as i128
            + i128::from(self.off_ms.load(Ordering::Relaxed)) * 1_000_000
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
