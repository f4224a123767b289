//! Following changes: each after a revision, in order, once, none left out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::event::EventRef;
use super::hub::{Hub, Past, Queue};
use super::ring::Next;
use super::state::State;
use super::waiters::Seat;
use crate::object::Revision;

/// How many events a watch takes out of the shared queue at once.
const TAKE_MAX: usize = 256;

/// Why a revision cannot be watched or listed from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    #[error("history before revision {oldest} is gone")]
    Compacted { oldest: Revision },
    #[error("revision {asked} is ahead of the store, which is at {current}")]
    Future { asked: Revision, current: Revision },
    #[error("the store is closed")]
    Closed,
}

impl WatchError {
    pub(super) fn future(asked: Revision, state: &State) -> Self {
        Self::Future { asked, current: state.revision() }
    }
}

/// Why a running watch ended. Either way the client may watch again, or list first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchEnd {
    #[error("the watcher was slower than history is kept")]
    TooSlow,
    #[error("the store is closed")]
    Closed,
}

/// A reader of one range's changes. Dropping it ends the watch.
pub struct Watch {
    hub: Arc<Hub>,
    queue: Arc<Queue>,
    /// Of the next event in the queue; `None` while it is read from further back.
    place: Option<u64>,
    /// Taken from the ring or the queue, not yet delivered.
    taken: VecDeque<EventRef>,
    /// What the watcher had seen when it came.
    start: Revision,
    /// Everything before this revision was taken, and so many of its own events.
    from: Revision,
    of_from: usize,
    seat: Seat,
}

impl Watch {
    pub(super) fn new(hub: Arc<Hub>, queue: Arc<Queue>, past: Past, from: Revision) -> Self {
        let (taken, of_from) = (VecDeque::new(), usize::MAX);
        let mut watch = Self { hub, queue, place: None, taken, start: from, from, of_from, seat: Seat::default() };
        if let Next::Fresh(events) = past.next {
            watch.take_fresh(events, past.end);
        }
        watch
    }

    /// The next event, as soon as there is one. Cancelling loses nothing.
    pub async fn next(&mut self) -> Result<EventRef, WatchEnd> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Watch::next`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<EventRef, WatchEnd>> {
        if self.taken.is_empty() {
            self.take(Some(context.waker()))?;
        }
        self.taken.pop_front().map_or(Poll::Pending, |event| Poll::Ready(Ok(event)))
    }

    /// The next event if it is there already.
    pub fn try_next(&mut self) -> Result<Option<EventRef>, WatchEnd> {
        if self.taken.is_empty() {
            self.take(None)?;
        }
        Ok(self.taken.pop_front())
    }

    /// The revision up to which this watch has delivered everything; `None` while events wait to be
    /// read. What a bookmark may say.
    pub fn progress(&mut self) -> Option<Revision> {
        let published = self.hub.published(); // before looking: what is published is in the queue
        if self.taken.is_empty() && self.take(None).is_err() {
            return None;
        }
        self.taken.is_empty().then(|| published.max(self.start))
    }

    /// Takes what is there. If that is nothing, `waker` is woken when something comes.
    fn take(&mut self, waker: Option<&Waker>) -> Result<(), WatchEnd> {
        loop {
            if let Some(place) = self.place {
                self.place = self.take_queued(place, waker)?;
            }
            if self.place.is_some() || !self.taken.is_empty() {
                return Ok(());
            }
            let before = Revision(self.from.0.saturating_sub(u64::from(self.of_from != usize::MAX)));
            let past = self.hub.past(&self.queue, before).map_err(|_| WatchEnd::TooSlow)?;
            self.take_past(past)?;
        }
    }

    /// Takes some events at `place` of the queue, and tells where to go on; `None` where they are gone.
    fn take_queued(&mut self, place: u64, waker: Option<&Waker>) -> Result<Option<u64>, WatchEnd> {
        let queue = self.queue.clone();
        let mut events = queue.lock();
        if events.cut {
            return Err(WatchEnd::TooSlow);
        }
        let Some(new) = events.from(place) else { return Ok(None) };
        let mut end = place;
        for event in new.take(TAKE_MAX) {
            end += 1;
            self.put(event.clone());
        }
        match waker {
            _ if end > place => (),
            _ if events.closed => return Err(WatchEnd::Closed),
            Some(waker) => events.waiters.wait(&mut self.seat, waker),
            None => (),
        }
        Ok(Some(end))
    }

    /// Takes what is to be read before the queue, and goes on in the queue if that is all.
    fn take_past(&mut self, past: Past) -> Result<(), WatchEnd> {
        match past.next {
            Next::Fresh(events) => self.take_fresh(events, past.end),
            Next::Packed(pack) => {
                self.put_new(pack.events().map_err(|_| WatchEnd::TooSlow)?);
                if pack.revision >= self.from {
                    (self.from, self.of_from) = (pack.revision, usize::MAX);
                }
            }
        }
        Ok(())
    }

    /// Takes all that is before the queue's `end`, and goes on in the queue.
    fn take_fresh(&mut self, events: Vec<EventRef>, end: u64) {
        self.put_new(events);
        self.place = Some(end);
    }

    /// Takes those of `events` that are watched and were not taken before.
    fn put_new(&mut self, events: Vec<EventRef>) {
        let (from, mut known) = (self.from, self.of_from);
        for event in events.into_iter().filter(|event| event.revision() >= from) {
            if !self.queue.range.contains(event.key()) {
                continue;
            }
            match event.revision() == from && known > 0 {
                true => known -= 1,
                false => self.put(event),
            }
        }
    }

    fn put(&mut self, event: EventRef) {
        match event.revision() == self.from {
            true => self.of_from = self.of_from.saturating_add(1),
            false => (self.from, self.of_from) = (event.revision(), 1),
        }
        self.taken.push_back(event);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.queue.lock().waiters.leave(&self.seat);
        self.hub.leave(&self.queue);
    }
}
