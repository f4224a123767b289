//! Following changes: each after a revision, in order, once, none left out.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::EventRef;
use super::hub::{Hub, Queue};
use super::state::State;
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
    /// Of the next event in the queue.
    place: u64,
    /// Taken from the ring or the queue, not yet delivered.
    taken: VecDeque<EventRef>,
    from: Revision,
}

impl Watch {
    pub(super) fn new(hub: Arc<Hub>, queue: Arc<Queue>, place: u64, taken: VecDeque<EventRef>, from: Revision) -> Self {
        Self { hub, queue, place, taken, from }
    }

    /// The next event, as soon as there is one. Cancelling loses nothing.
    pub async fn next(&mut self) -> Result<EventRef, WatchEnd> {
        loop {
            let queue = self.queue.clone();
            let woken = queue.woken.notified(); // before looking: a wake-up in between counts
            match self.try_next() {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => woken.await,
                Err(end) => return Err(end),
            }
        }
    }

    /// The next event if it is there already.
    pub fn try_next(&mut self) -> Result<Option<EventRef>, WatchEnd> {
        if self.taken.is_empty() {
            self.take()?;
        }
        Ok(self.taken.pop_front())
    }

    /// The revision up to which this watch has delivered everything; `None` while events wait to be
    /// read. What a bookmark may say.
    pub fn progress(&mut self) -> Option<Revision> {
        let published = self.hub.published(); // before looking: what is published is in the queue
        if self.taken.is_empty() && self.take().is_err() {
            return None;
        }
        self.taken.is_empty().then(|| published.max(self.from))
    }

    fn take(&mut self) -> Result<(), WatchEnd> {
        let events = self.queue.lock();
        let new = events.from(self.place).ok_or(WatchEnd::TooSlow)?;
        let before = self.taken.len();
        let mut seen = 0;
        for event in new.take(TAKE_MAX) {
            seen += 1;
            if event.revision() > self.from {
                self.taken.push_back(event.clone());
            }
        }
        self.place += seen;
        if events.closed && self.taken.len() == before && self.place == events.end() {
            return Err(WatchEnd::Closed);
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.leave(&self.queue);
    }
}
