//! What the store counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only the store changes and anybody reads.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    fn raise(&self, to: u64) {
        self.0.fetch_max(to, Ordering::Relaxed);
    }

    pub(super) fn add_nanos(&self, took: Duration) {
        self.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

#[derive(Debug, Default)]
pub struct Metrics {
    /// Commands that were put into the log.
    pub proposals: Count,
    /// Commands that were applied in memory only.
    pub volatile: Count,
    /// Log writes, each with one fsync.
    pub log_writes: Count,
    pub log_write_nanos: Count,
    pub log_write_nanos_max: Count,
    pub log_bytes: Count,
    pub applied_index: Count,
    pub revision: Count,
    pub objects: Count,
    pub object_bytes: Count,
    pub history_events: Count,
    pub history_bytes: Count,
    pub checkpoints: Count,
    pub checkpoint_nanos: Count,
}

impl Metrics {
    /// One log write, with its fsync.
    pub(super) fn wrote(&self, bytes: u64, took: Duration) {
        self.log_writes.add(1);
        self.log_bytes.add(bytes);
        self.log_write_nanos.add_nanos(took);
        self.log_write_nanos_max.raise(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}
