//! What happened, as one number: two runs are taken for the same if it is.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Clones write into the same trace.
#[derive(Clone)]
pub struct Trace {
    started: Instant,
    shown: bool,
    sum: Arc<Mutex<(u64, u64)>>,
}

impl Trace {
    /// With `shown` every line is printed, too.
    pub fn new(shown: bool) -> Self {
        Self { started: Instant::now(), shown, sum: Arc::new(Mutex::new((0xcbf2_9ce4_8422_2325, 0))) }
    }

    /// Milliseconds of simulated time.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        let line = format!("{:>9} {}", self.now_ms(), line());
        self.numbers(line.bytes().map(u64::from));
        if self.shown {
            println!("{line}");
        }
    }

    /// Something that happens too often to be written out.
    pub fn numbers(&self, numbers: impl IntoIterator<Item = u64>) {
        let now = self.now_ms();
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        for number in std::iter::once(now).chain(numbers) {
            sum.0 = (sum.0 ^ number).wrapping_mul(0x0000_0100_0000_01b3);
            sum.1 += 1;
        }
    }

    /// The number, and of how many it was made.
    pub fn sum(&self) -> (u64, u64) {
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
