//! Recent history: the events of the last minutes, by which older states are found again.
//!
//! Bounded by age, memory and number. The state just before the oldest kept event is the ring's
//! *base*: checkpoints are taken there, so that the log behind a checkpoint holds the whole ring and a
//! restart can rebuild it.

use std::collections::VecDeque;
use std::time::Duration;

use super::WatchError;
use super::event::EventRef;
use super::state::{Position, State};
use crate::object::Revision;

/// How much history is kept.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    pub age: Duration,
    /// Of objects that only history still holds.
    pub bytes: usize,
    pub events: usize,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self { age: Duration::from_secs(300), bytes: 32 << 20, events: 100_000 }
    }
}

/// An event with what the ring must know of it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub event: EventRef,
    /// The log entry that made it; for a volatile write the last one before it.
    pub position: Position,
    /// When it was recorded, by the clock's elapsed time.
    pub at: Duration,
}

/// How much history there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub events: usize,
    pub bytes: usize,
    /// From the oldest event to the newest.
    pub span: Duration,
    pub oldest: Revision,
}

#[derive(Debug)]
pub(super) struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    /// Of the state before the first record.
    base: (Revision, Position),
    limits: RingLimits,
}

impl Ring {
    /// Empty, with `state` as its base.
    pub fn new(limits: RingLimits, state: &State) -> Self {
        Self { records: VecDeque::new(), bytes: 0, base: (state.revision, state.position), limits }
    }

    /// Empty again, behind `state`.
    pub fn anew(&self, state: &State) -> Self {
        Self::new(self.limits, state)
    }

    pub fn push(&mut self, record: Record) {
        debug_assert!(self.records.back().is_none_or(|last| last.event.revision() <= record.event.revision()));
        self.bytes += record.event.cost();
        self.records.push_back(record);
    }

    /// Forgets what is over a limit at `now` and hands it out.
    ///
    /// A log entry's events leave together: the base must be a state between two entries.
    pub fn trim(&mut self, now: Duration) -> Vec<Record> {
        let mut dropped = Vec::new();
        while let Some(first) = self.records.front() {
            let over = self.bytes > self.limits.bytes
                || self.records.len() > self.limits.events
                || now.saturating_sub(first.at) > self.limits.age;
            let same_entry = !dropped.is_empty() && first.position == self.base.1;
            if !over && !same_entry {
                break;
            }
            let Some(record) = self.records.pop_front() else { break };
            self.bytes -= record.event.cost();
            self.base = (record.event.revision(), record.position);
            dropped.push(record);
        }
        dropped
    }

    /// The state that can still be found again by undoing everything.
    pub fn base(&self) -> (Revision, Position) {
        self.base
    }

    pub fn kept(&self) -> Kept {
        let (first, last) = (self.records.front(), self.records.back());
        let span = first.zip(last).map_or(Duration::ZERO, |(first, last)| last.at.saturating_sub(first.at));
        Kept { events: self.records.len(), bytes: self.bytes, span, oldest: self.base.0 }
    }

    /// The events after `revision`, oldest first.
    pub fn after(&self, revision: Revision) -> Result<impl DoubleEndedIterator<Item = &EventRef>, WatchError> {
        let (oldest, _) = self.base;
        if revision < oldest {
            return Err(WatchError::Compacted { oldest });
        }
        let start = self.records.partition_point(|record| record.event.revision() <= revision);
        Ok(self.records.range(start..).map(|record| &record.event))
    }
}

/// The state as it was at `revision`, by taking back `newer`, which is every event after it.
pub(super) fn undo<'a>(
    state: &State,
    revision: Revision,
    newer: impl DoubleEndedIterator<Item = &'a EventRef>,
) -> State {
    let mut past = state.clone();
    for event in newer.rev() {
        match event.previous() {
            Some(object) => past.put(object.clone()),
            None => past.remove(event.key()),
        };
    }
    past.revision = revision;
    past
}
