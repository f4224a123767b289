//! Where the applier publishes and readers look: the current state, history, and who watches what.
//!
//! Watchers of the same range share one queue of shared events; each is only a place in it. An event
//! touches the at most four queues whose range holds its key, so a thousand watchers of other things
//! cost nothing. A queue holds no more than the ring does: who is slower than that is cut off.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::event::EventRef;
use super::range::{KeyRange, ranges_of};
use super::ring::{Kept, Next, Record, Ring, RingLimits, give_back, undo};
use super::state::{Position, State};
use super::waiters::Waiters;
use super::watch::{Watch, WatchError};
use crate::object::Revision;

pub(super) struct Hub {
    state: ArcSwap<State>,
    inner: Mutex<Inner>,
    /// Everything up to here is in the queues.
    published: AtomicU64,
    /// The same, for those who wait for it.
    advanced: watch::Sender<Revision>,
}

struct Inner {
    ring: Ring,
    queues: BTreeMap<KeyRange, Arc<Queue>>,
    closed: bool,
}

/// Events to be read before those of a queue.
pub(super) struct Past {
    pub next: Next,
    /// The queue's end at that moment: if these are all events, one goes on there.
    pub end: u64,
}

/// The events of one range, for all who watch it.
pub(super) struct Queue {
    pub(super) range: KeyRange,
    events: Mutex<Events>,
}

#[derive(Default)]
pub(super) struct Events {
    /// The place of the first event that is still here, counted from the queue's beginning.
    first: u64,
    events: VecDeque<EventRef>,
    watchers: usize,
    pub(super) waiters: Waiters,
    /// Something came that the watchers have not been woken for.
    unheard: bool,
    pub(super) closed: bool,
    /// Nobody may go on from what was here.
    pub(super) cut: bool,
}

impl Hub {
    pub fn new(state: State, limits: RingLimits) -> Arc<Self> {
        let ring = Ring::new(limits, &state);
        let revision = state.revision();
        Arc::new(Self {
            state: ArcSwap::from_pointee(state),
            inner: Mutex::new(Inner { ring, queues: BTreeMap::new(), closed: false }),
            published: AtomicU64::new(revision.0),
            advanced: watch::Sender::new(revision),
        })
    }

    /// Makes `state` the current one, and `records`, which led to it, history. Returns what
    /// of history is kept now.
    pub fn publish(&self, state: State, records: Vec<Record>, now: Duration) -> Kept {
        let revision = state.revision();
        let mut touched: Vec<Arc<Queue>> = Vec::new();
        let kept = {
            let mut inner = self.lock();
            self.state.store(Arc::new(state));
            for record in records {
                for range in ranges_of(record.event.key()) {
                    let Some(queue) = inner.queues.get(range) else { continue };
                    if queue.push(&record.event) {
                        touched.push(queue.clone());
                    }
                }
                inner.ring.push(record);
            }
            let kept = inner.trim(now);
            self.published.store(revision.0, Ordering::Release);
            kept
        };
        touched.iter().for_each(|queue| queue.wake());
        self.advanced.send_if_modified(|seen| std::mem::replace(seen, revision) < revision);
        kept
    }

    /// Forgets what is too old at `now`. Returns what of history is kept.
    pub fn forget_old(&self, now: Duration) -> Kept {
        self.lock().trim(now)
    }

    /// `state` takes the place of everything, and nobody knows what was between: history begins anew,
    /// and every watch ends.
    pub fn reset(&self, state: State) {
        let revision = state.revision();
        let ended = {
            let mut inner = self.lock();
            inner.ring = inner.ring.anew(&state);
            self.state.store(Arc::new(state));
            let ended = std::mem::take(&mut inner.queues);
            ended.values().for_each(|queue| queue.lock().cut());
            self.published.store(revision.0, Ordering::Release);
            ended
        };
        ended.values().for_each(|queue| queue.wake());
        self.advanced.send_if_modified(|seen| std::mem::replace(seen, revision) < revision);
    }

    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub fn published(&self) -> Revision {
        Revision(self.published.load(Ordering::Acquire))
    }

    pub fn advanced(&self) -> watch::Receiver<Revision> {
        self.advanced.subscribe()
    }

    /// The state as it was at `revision`.
    pub fn state_at(&self, revision: Revision) -> Result<Arc<State>, WatchError> {
        let (state, newer) = {
            let inner = self.lock();
            let state = self.state();
            if revision >= state.revision() {
                return if revision == state.revision() {
                    Ok(state)
                } else {
                    Err(WatchError::future(revision, &state))
                };
            }
            let newer = inner.ring.after(revision)?;
            (state, newer)
        };
        undo(&state, revision, &newer).map(Arc::new)
    }

    /// Where [`Hub::base`] stands in the log.
    pub fn base_position(&self) -> Position {
        self.lock().ring.base().1
    }

    /// The oldest state that history still reaches.
    pub fn base(&self) -> State {
        let (state, newer, (revision, position)) = {
            let inner = self.lock();
            let (revision, position) = inner.ring.base();
            (self.state(), inner.ring.after(revision), (revision, position))
        };
        match newer.and_then(|newer| undo(&state, revision, &newer)) {
            Ok(base) => State { position, ..base },
            Err(_) => State::clone(&state), // the ring reaches its own base
        }
    }

    pub fn watch(self: &Arc<Self>, range: KeyRange, from: Revision) -> Result<Watch, WatchError> {
        let mut inner = self.lock();
        let state = self.state();
        if from > state.revision() {
            return Err(WatchError::future(from, &state));
        }
        if inner.closed {
            return Err(WatchError::Closed);
        }
        let next = inner.ring.next(from)?;
        let queue = inner.queues.entry(range.clone()).or_insert_with(|| Queue::new(range)).clone();
        let end = {
            let mut events = queue.lock();
            events.watchers += 1;
            events.end()
        };
        let past = Past { next, end };
        Ok(Watch::new(self.clone(), queue, past, from))
    }

    /// What came after `from`, in every range, for who is not or no longer reading `queue`.
    pub fn past(&self, queue: &Queue, from: Revision) -> Result<Past, WatchError> {
        let inner = self.lock();
        let next = inner.ring.next(from)?;
        Ok(Past { next, end: queue.lock().end() })
    }

    /// Called for each watch that ends.
    pub fn leave(&self, queue: &Queue) {
        let mut inner = self.lock();
        let mut events = queue.lock();
        events.watchers -= 1;
        if events.watchers == 0 && !events.cut {
            inner.queues.remove(&queue.range);
        }
    }

    /// Ends every watch after what it has still to deliver.
    pub fn close(&self) {
        let queues: Vec<Arc<Queue>> = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.queues.values().cloned().collect()
        };
        for queue in queues {
            queue.lock().closed = true;
            queue.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Forgets what history need not keep at `now`, here and in the queues.
    fn trim(&mut self, now: Duration) -> Kept {
        for record in self.ring.trim(now) {
            let queues = ranges_of(record.event.key()).into_iter().filter_map(|range| self.queues.get(range));
            queues.for_each(|queue| queue.forget(&record.event));
        }
        self.ring.kept()
    }
}

impl Queue {
    fn new(range: KeyRange) -> Arc<Self> {
        Arc::new(Self { range, events: Mutex::default() })
    }

    pub fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the first since the watchers were woken.
    fn push(&self, event: &EventRef) -> bool {
        let mut events = self.lock();
        events.events.push_back(event.clone());
        !std::mem::replace(&mut events.unheard, true)
    }

    fn wake(&self) {
        let waiting = {
            let mut events = self.lock();
            events.unheard = false;
            events.waiters.take()
        };
        waiting.for_each(Waker::wake);
    }

    /// Lets go of `event` if it is the oldest here.
    fn forget(&self, event: &EventRef) {
        let mut events = self.lock();
        if events.events.front().is_some_and(|first| Arc::ptr_eq(first, event)) {
            events.events.pop_front();
            events.first += 1;
            give_back(&mut events.events);
        }
    }
}

impl Events {
    /// Lets go of everything, and of everybody.
    fn cut(&mut self) {
        self.cut = true;
        self.events.clear();
    }

    pub fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The events from `place` on; `None` when the first of them is gone.
    pub fn from(&self, place: u64) -> Option<impl Iterator<Item = &EventRef>> {
        let skip = usize::try_from(place.checked_sub(self.first)?).ok()?;
        Some(self.events.iter().skip(skip))
    }
}
