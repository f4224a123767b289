//! What happened, as one number: two runs are taken for the same if it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Clones write into the same trace.
#[derive(Clone)]
pub struct Trace {
    started: Instant,
    shown: bool,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    sum: u64,
    count: u64,
    /// Each happening in words, where two runs are to be compared.
    kept: Option<Vec<String>>,
}

impl Trace {
    /// With `shown` every line is printed, too.
    pub fn new(shown: bool) -> Self {
        let inner = Inner { sum: 0xcbf2_9ce4_8422_2325, count: 0, kept: None };
        Self { started: Instant::now(), shown, inner: Arc::new(Mutex::new(inner)) }
    }

    /// From now on everything is kept, for [`Trace::take`].
    pub fn keep(&self) {
        self.lock().kept = Some(Vec::new());
    }

    pub fn take(&self) -> Vec<String> {
        self.lock().kept.take().unwrap_or_default()
    }

    /// Milliseconds of simulated time.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        let line = format!("{:>9} {}", self.now_ms(), line());
        self.add(line.bytes().map(u64::from), || line.clone());
        if self.shown {
            println!("{line}");
        }
    }

    /// Something that happens too often to be written out.
    pub fn numbers<const N: usize>(&self, numbers: [u64; N]) {
        // A thread apart has no simulated clock; it is waited for, so no time passes.
        let now = match tokio::runtime::Handle::try_current() {
            Ok(_) => self.now_ms(),
            Err(_) => 0,
        };
        self.add(std::iter::once(now).chain(numbers), || format!("{now:>9} {numbers:?}"));
    }

    fn add(&self, numbers: impl Iterator<Item = u64>, words: impl FnOnce() -> String) {
        let mut inner = self.lock();
        for number in numbers {
            inner.sum = (inner.sum ^ number).wrapping_mul(0x0000_0100_0000_01b3);
            inner.count += 1;
        }
        if let Some(kept) = &mut inner.kept {
            kept.push(words());
        }
    }

    /// The number, and of how many it was made.
    pub fn sum(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.sum, inner.count)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
