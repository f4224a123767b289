//! What the store counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ring::Kept;

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
        self.add(nanos(took));
    }
}

/// How often something was how large: buckets of doubling size from 1 on, and the rest.
#[derive(Debug, Default)]
pub struct Doubling {
    counts: [Count; Self::BUCKETS + 1],
    pub sum: Count,
}

impl Doubling {
    pub const BUCKETS: usize = 14;

    fn add(&self, value: u64) {
        let bucket = (u64::BITS - value.saturating_sub(1).leading_zeros()) as usize;
        self.counts[bucket.min(Self::BUCKETS)].add(1);
        self.sum.add(value);
    }

    /// Each bucket's upper bound with how many were no larger; the last of all has no bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bounds = (0..Self::BUCKETS).map(|power| Some(1 << power)).chain([None]);
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count.get();
            Some(*sum)
        });
        bounds.zip(sums)
    }
}

#[derive(Debug, Default)]
pub struct Metrics {
    /// Commands that were put into the log.
    pub proposals: Count,
    /// Commands that were applied in memory only.
    pub volatile: Count,
    /// Commands in a log entry.
    pub batches: Doubling,
    /// Log writes, each with one fsync; how long they took, in milliseconds.
    pub log_writes: Count,
    pub log_write_millis: Doubling,
    pub log_write_nanos: Count,
    pub log_write_nanos_max: Count,
    /// Log writes that took too long.
    pub slow_log_writes: Count,
    pub log_bytes: Count,
    pub last_index: Count,
    pub applied_index: Count,
    pub revision: Count,
    pub objects: Count,
    pub object_bytes: Count,
    pub history_events: Count,
    pub history_bytes: Count,
    /// From the oldest event that is kept to the newest.
    pub history_millis: Count,
    pub history_oldest: Count,
    pub checkpoints: Count,
    pub checkpoint_nanos: Count,
    pub checkpoint_failures: Count,
    /// How often it was heard that another server leads, or none.
    pub leader_changes: Count,
    /// What was found not to be as it was written.
    pub damaged_logs: Count,
    pub damaged_checkpoints: Count,
    pub damaged_snapshots: Count,
}

impl Metrics {
    /// One log write, with its fsync.
    pub(super) fn wrote(&self, bytes: u64, took: Duration) {
        self.log_writes.add(1);
        self.log_bytes.add(bytes);
        self.log_write_millis.add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self.log_write_nanos.add_nanos(took);
        self.log_write_nanos_max.raise(nanos(took));
    }

    pub(super) fn keeps(&self, history: Kept) {
        self.history_events.set(history.events as u64);
        self.history_bytes.set(history.bytes as u64);
        self.history_millis.set(history.span.as_millis() as u64);
        self.history_oldest.set(history.oldest.0);
    }

    /// One entry with so many commands was put into the log.
    pub(super) fn batched(&self, commands: usize) {
        self.proposals.add(commands as u64);
        self.batches.add(commands as u64);
    }
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_falls_into_the_bucket_that_holds_it() {
        let sizes = Doubling::default();
        [0, 1, 2, 3, 4, 5, 1 << 20].into_iter().for_each(|size| sizes.add(size));
        let shown: Vec<_> = sizes.cumulative().collect();
        assert_eq!(shown[..4], [(Some(1), 2), (Some(2), 3), (Some(4), 5), (Some(8), 6)]);
        assert_eq!((shown.len(), shown[Doubling::BUCKETS]), (15, (None, 7)));
    }
}
