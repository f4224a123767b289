//! The log as raft reads it: the newest entries from memory, which may not be on the disk yet, older
//! ones from the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, StorageError};

use super::log::{Log, LogError, Saved};
use crate::store::state::Position;

/// The log could not be read while raft was at work.
pub(super) struct Unreadable(pub LogError);

pub(super) struct LogStorage {
    log: Arc<Log>,
    hard_state: HardState,
    conf_state: ConfState,
    base: Position,
    last: Position,
    /// The entries from some index up to `last`: at least all that are not on the disk.
    tail: VecDeque<Entry>,
    /// The state that other servers are given who lack entries which are gone here.
    offer: Option<(Position, ConfState)>,
    /// Raft wants to give one and there is none, or too old a one.
    wants_offer: AtomicBool,
}

impl LogStorage {
    /// The log as `saved` says; entries up to `applied` are known to be committed.
    pub fn new(log: Arc<Log>, saved: Saved, conf_state: ConfState, applied: u64) -> Self {
        let mut hard_state = saved.hard_state;
        hard_state.commit = hard_state.commit.max(applied).min(saved.last.index);
        let (base, last) = (saved.base, saved.last);
        Self {
            log,
            hard_state,
            conf_state,
            base,
            last,
            tail: VecDeque::new(),
            offer: None,
            wants_offer: AtomicBool::new(false),
        }
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    pub fn base(&self) -> Position {
        self.base
    }

    pub fn last(&self) -> Position {
        self.last
    }

    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    pub fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
    }

    /// Takes entries that raft may read from now on; they replace what was there at their indexes.
    pub fn append(&mut self, entries: &[Entry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        assert!(first.index > self.base.index && first.index <= self.last.index + 1, "the log has no holes");
        while self.tail.back().is_some_and(|entry| entry.index >= first.index) {
            self.tail.pop_back();
        }
        if self.tail.back().is_some_and(|entry| entry.index + 1 != first.index) {
            self.tail.clear();
        }
        self.tail.extend(entries.iter().cloned());
        self.last = Position { index: last.index, term: last.term };
    }

    /// Lets go of entries up to `index`, which are on the disk and applied.
    pub fn forget(&mut self, index: u64) {
        while self.tail.front().is_some_and(|entry| entry.index <= index) {
            self.tail.pop_front();
        }
        if self.tail.is_empty() {
            self.tail = VecDeque::new();
        }
    }

    /// A snapshot takes the place of the whole log.
    pub fn restore(&mut self, at: Position, conf_state: ConfState) {
        (self.base, self.last, self.conf_state) = (at, at, conf_state);
        self.tail = VecDeque::new();
        self.hard_state.commit = self.hard_state.commit.max(at.index);
    }

    pub fn set_offer(&mut self, offer: Option<(Position, ConfState)>) {
        self.wants_offer.store(false, Ordering::Relaxed);
        self.offer = offer;
    }

    pub fn wants_offer(&self) -> bool {
        self.wants_offer.load(Ordering::Relaxed)
    }

    /// The log now begins behind `base`.
    pub fn truncated(&mut self, base: Position) {
        self.base = base;
        self.forget(base.index);
    }

    fn tail_first(&self) -> u64 {
        self.tail.front().map_or(self.last.index + 1, |entry| entry.index)
    }
}

impl raft::Storage for LogStorage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        bytes_max: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.index {
            return Err(StorageError::Compacted.into());
        }
        assert!(high <= self.last.index + 1, "entries up to {high} asked of a log that ends at {:?}", self.last);
        let bytes_max = bytes_max.into().unwrap_or(u64::MAX);
        let tail_first = self.tail_first();
        let mut found = Vec::new();
        if low < tail_first {
            found = self.log.entries(low, high.min(tail_first), bytes_max).unwrap_or_else(|error| unreadable(error));
        }
        let mut bytes: u64 = found.iter().map(|entry| entry.data.len() as u64).sum();
        let next = low + found.len() as u64;
        let skip = next.checked_sub(tail_first).map(|skip| skip as usize);
        for entry in skip.into_iter().flat_map(|skip| self.tail.iter().skip(skip)) {
            bytes += entry.data.len() as u64;
            if entry.index >= high || (bytes > bytes_max && !found.is_empty()) {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.base.index {
            return Err(StorageError::Compacted.into());
        }
        if index > self.last.index {
            return Err(StorageError::Unavailable.into());
        }
        if let Some(known) = [self.base, self.last].into_iter().find(|known| known.index == index) {
            return Ok(known.term);
        }
        match index.checked_sub(self.tail_first()) {
            Some(place) => Ok(self.tail[place as usize].term),
            None => Ok(self.log.term(index).unwrap_or_else(|error| unreadable(error))),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last.index)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let index_min = request_index.max(self.base.index);
        // Who is no member in it would not take it.
        let is_for = |members: &ConfState| [&members.voters, &members.learners].iter().any(|ids| ids.contains(&to));
        let offer = self.offer.as_ref().filter(|(at, members)| at.index >= index_min && is_for(members));
        let Some((at, conf_state)) = offer else {
            self.wants_offer.store(true, Ordering::Relaxed);
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        };
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (at.index, at.term);
        metadata.set_conf_state(conf_state.clone());
        Ok(snapshot)
    }
}

/// Leaves raft in the middle of what it does: it takes errors of its log for its own mistakes, and panics
/// at some and makes up for others. [`super::node::Node`] is where this ends.
fn unreadable(error: LogError) -> ! {
    std::panic::resume_unwind(Box::new(Unreadable(error)))
}
