//! Recent history: the events of the last minutes, by which older states are found again.
//!
//! Bounded by age, memory and number. The state just before the oldest kept event is the ring's
//! *base*: checkpoints are taken there, so that the log behind a checkpoint holds the whole ring and a
//! restart can rebuild it.
//!
//! Only the newest events are kept as they are, for watchers who keep up; the others are packed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::WatchError;
use super::event::EventRef;
use super::pack::{PACK_BYTES, Pack, raw_len};
use super::state::{Position, State};
use crate::object::Revision;

/// How much history is kept.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    pub age: Duration,
    /// Of objects that only history still holds, before they are packed.
    pub bytes: usize,
    pub events: usize,
    /// With more of `bytes` than this the oldest are packed.
    pub fresh: usize,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self { age: Duration::from_secs(300), bytes: 32 << 20, events: 100_000, fresh: 2 << 20 }
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
    /// Of memory, as it is now.
    pub bytes: usize,
    /// From the oldest event to the newest.
    pub span: Duration,
    pub oldest: Revision,
    /// When the oldest event is too old to be kept; none if there is no event.
    pub expires: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Ring {
    /// Older than all records, oldest first.
    packs: VecDeque<Arc<Pack>>,
    packed: usize,
    /// What the packs take.
    packed_bytes: usize,
    records: VecDeque<Record>,
    /// The cost of everything, and of the records.
    bytes: usize,
    fresh: usize,
    /// Of the state before the first event.
    base: (Revision, Position),
    limits: RingLimits,
}

/// The next events after some revision, with whole revisions only.
pub(super) enum Next {
    /// Some are in here, more may follow.
    Packed(Arc<Pack>),
    /// All there are.
    Fresh(Vec<EventRef>),
}

impl Ring {
    /// Empty, with `state` as its base.
    pub fn new(limits: RingLimits, state: &State) -> Self {
        let base = (state.revision, state.position);
        Self {
            packs: VecDeque::new(),
            packed: 0,
            packed_bytes: 0,
            records: VecDeque::new(),
            bytes: 0,
            fresh: 0,
            base,
            limits,
        }
    }

    /// Empty again, behind `state`.
    pub fn anew(&self, state: &State) -> Self {
        Self::new(self.limits, state)
    }

    pub fn push(&mut self, record: Record) {
        debug_assert!(self.records.back().is_none_or(|last| last.event.revision() <= record.event.revision()));
        self.bytes += record.event.cost();
        self.fresh += record.event.cost();
        self.records.push_back(record);
    }

    /// Forgets what is over a limit at `now`, packs what is no longer new, and hands out the records of both.
    ///
    /// A log entry's events leave together: the base must be a state between two entries.
    pub fn trim(&mut self, now: Duration) -> Vec<Record> {
        let mut gone = Vec::new();
        let mut dropped = false;
        loop {
            let over = self.bytes > self.limits.bytes || self.packed + self.records.len() > self.limits.events;
            let old = |at: Duration| now.saturating_sub(at) > self.limits.age;
            let same_entry = |position: Position| dropped && position == self.base.1;
            if let Some(pack) = self.packs.front() {
                if !over && !old(pack.until) && !same_entry(pack.position) {
                    break;
                }
                self.bytes -= pack.cost;
                self.packed -= pack.events;
                self.packed_bytes -= pack.len();
                self.base = (pack.revision, pack.position);
                self.packs.pop_front();
            } else {
                let Some(first) = self.records.front() else { break };
                if !over && !old(first.at) && !same_entry(first.position) {
                    break;
                }
                self.bytes -= first.event.cost();
                self.fresh -= first.event.cost();
                self.base = (first.event.revision(), first.position);
                gone.extend(self.records.pop_front());
            }
            dropped = true;
        }
        if self.fresh > self.limits.fresh {
            self.pack(&mut gone);
        }
        give_back(&mut self.records);
        gone
    }

    /// Packs about half of the records.
    fn pack(&mut self, gone: &mut Vec<Record>) {
        while self.fresh > self.limits.fresh / 2 {
            let start = gone.len();
            let mut raw = 0;
            while let Some(first) = self.records.front() {
                let same_entry = gone[start..].last().is_some_and(|last| last.position == first.position);
                if raw > PACK_BYTES && !same_entry {
                    break;
                }
                raw += raw_len(&first.event);
                self.fresh -= first.event.cost();
                gone.extend(self.records.pop_front());
            }
            let Some(pack) = Pack::of(&gone[start..]) else { break };
            self.packed += pack.events;
            self.packed_bytes += pack.len();
            self.packs.push_back(Arc::new(pack));
        }
    }

    /// The state that can still be found again by undoing everything.
    pub fn base(&self) -> (Revision, Position) {
        self.base
    }

    pub fn kept(&self) -> Kept {
        let first = self.packs.front().map(|pack| pack.since).or(self.records.front().map(|record| record.at));
        let last = self.records.back().map(|record| record.at).or(self.packs.back().map(|pack| pack.until));
        let span = first.zip(last).map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first));
        let expires = first.map(|first| first + self.limits.age);
        Kept {
            events: self.packed + self.records.len(),
            bytes: self.fresh + self.packed_bytes,
            span,
            oldest: self.base.0,
            expires,
        }
    }

    /// The first events after `revision`.
    pub fn next(&self, revision: Revision) -> Result<Next, WatchError> {
        let pack = self.packs.get(self.packs_after(revision)?);
        Ok(pack.map_or_else(|| Next::Fresh(self.fresh_after(revision)), |pack| Next::Packed(pack.clone())))
    }

    /// Everything after `revision` that is packed, and what is not.
    pub fn after(&self, revision: Revision) -> Result<(Vec<Arc<Pack>>, Vec<EventRef>), WatchError> {
        let start = self.packs_after(revision)?;
        Ok((self.packs.range(start..).cloned().collect(), self.fresh_after(revision)))
    }

    /// The place of the first pack with something after `revision`.
    fn packs_after(&self, revision: Revision) -> Result<usize, WatchError> {
        let (oldest, _) = self.base;
        match revision < oldest {
            true => Err(WatchError::Compacted { oldest }),
            false => Ok(self.packs.partition_point(|pack| pack.revision <= revision)),
        }
    }

    fn fresh_after(&self, revision: Revision) -> Vec<EventRef> {
        let start = self.records.partition_point(|record| record.event.revision() <= revision);
        self.records.range(start..).map(|record| record.event.clone()).collect()
    }
}

/// The state as it was at `revision`, by taking back everything `newer`, as [`Ring::after`] has it.
pub(super) fn undo(
    state: &State,
    revision: Revision,
    newer: &(Vec<Arc<Pack>>, Vec<EventRef>),
) -> Result<State, WatchError> {
    let (packs, fresh) = newer;
    let mut past = state.clone();
    let mut undo = |events: &[EventRef]| {
        for event in events.iter().rev().filter(|event| event.revision() > revision) {
            match event.previous() {
                Some(object) => past.put(object.clone()),
                None => past.remove(event.key()),
            };
        }
    };
    undo(fresh);
    for pack in packs.iter().rev() {
        undo(&pack.events().map_err(|_| WatchError::Compacted { oldest: pack.revision })?);
    }
    past.revision = revision;
    Ok(past)
}

/// Gives back the room that a burst left, once it is mostly empty: nobody knows when the next one comes.
pub(super) fn give_back<T>(queue: &mut VecDeque<T>) {
    const ROOM_MIN: usize = 64;
    if queue.capacity() > ROOM_MIN && queue.capacity() > 4 * queue.len() {
        queue.shrink_to((2 * queue.len()).max(ROOM_MIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_gives_back_what_a_burst_left_and_nothing_else() {
        let mut queue: VecDeque<u64> = (0..4_000).collect();
        let full = queue.capacity();
        queue.truncate(2_000);
        give_back(&mut queue);
        assert_eq!(queue.capacity(), full);
        queue.truncate(500);
        give_back(&mut queue);
        assert!((1_000..2_000).contains(&queue.capacity()), "{}", queue.capacity());
        queue.clear();
        give_back(&mut queue);
        let least = queue.capacity();
        assert!(least < 200, "{least}");
        give_back(&mut queue);
        assert_eq!(queue.capacity(), least);
    }
}
