//! One priority level at work: its queues behind a lock, and those who wait in them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::config;
use super::demand::Demand;
use super::dropped::Dropped;
use super::queues::{Arrival, Place, Policy, QueueSet, Start, Ticket};
use super::shares::{Bounds, Claim, Shares};
use super::tally::Tally;
use crate::base::clock::ClockRef;

/// Requests of a level may take this part of its seats each.
const WIDTH_SHARE_MAX: f64 = 0.15;

pub struct Level {
    pub name: Box<str>,
    clock: ClockRef,
    /// Told when seats come free by time alone while somebody waits for them.
    timer: Arc<Notify>,
    /// What one request may take at most; 0 if the level does not say.
    width_max: AtomicU32,
    inner: Mutex<Inner>,
}

pub struct Inner {
    pub queues: QueueSet<Waiter>,
    /// By schema, in the order in which they first had this level.
    pub tallies: Vec<(Box<str>, Tally)>,
    pub bounds: Bounds,
    pub demand: Demand,
    shares: Shares,
    dropped: Dropped,
}

/// Who waits, and for what.
pub struct Waiter {
    pub tally: usize,
    seats: u32,
    pub flow: Box<str>,
    pub since: Duration,
    ready: oneshot::Sender<Ticket>,
}

/// Seats of a running request, given back when dropped.
pub struct Running {
    level: Arc<Level>,
    tally: usize,
    ticket: Option<Ticket>,
}

/// A request in a queue; it leaves when dropped.
struct Queued {
    level: Arc<Level>,
    tally: usize,
    seats: u32,
    since: Duration,
    place: Option<Place>,
    ready: oneshot::Receiver<Ticket>,
    timed_out: bool,
}

/// What becomes of a request at first.
enum Entered {
    Runs(Running),
    Waits(Queued),
    Refused,
}

/// There was no seat; when to come back.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub retry_secs: u64,
}

impl Level {
    pub fn new(config: &config::Level, clock: ClockRef, timer: Arc<Notify>) -> Self {
        let queues = QueueSet::new(clock.elapsed(), config.policy, 0);
        let inner = Inner {
            queues,
            tallies: Vec::new(),
            bounds: Bounds::default(),
            demand: Demand::default(),
            shares: config.shares,
            dropped: Dropped::default(),
        };
        Self { name: config.name.as_str().into(), clock, timer, width_max: AtomicU32::new(0), inner: Mutex::new(inner) }
    }

    /// Goes on with another configuration; a new level begins with the middle of what it may have.
    pub fn configure(self: &Arc<Self>, config: &config::Level, bounds: Bounds, is_new: bool) {
        let width_max = match config.policy {
            Policy::Queue { hand, .. } => {
                let share = (f64::from(bounds.nominal) * WIDTH_SHARE_MAX).ceil() as u32;
                share.min(bounds.nominal / u32::from(hand.max(1))).max(1)
            }
            _ => 0,
        };
        self.width_max.store(width_max, Ordering::Relaxed);
        let now = self.clock.elapsed();
        self.change(|inner| {
            inner.shares = config.shares;
            inner.bounds = bounds;
            inner.queues.set_policy(now, config.policy);
            if is_new {
                inner.queues.set_limit(now, bounds.nominal - (bounds.nominal - bounds.min) / 2);
            }
        });
    }

    pub fn width_max(&self) -> u32 {
        self.width_max.load(Ordering::Relaxed)
    }

    /// The place of a schema's counts.
    pub fn tally_of(&self, schema: &str) -> usize {
        let mut inner = self.lock();
        let known = inner.tallies.iter().position(|(name, _)| **name == *schema);
        known.unwrap_or_else(|| {
            inner.tallies.push((schema.into(), Tally::default()));
            inner.tallies.len() - 1
        })
    }

    /// Waits for seats, at most until `deadline`.
    pub async fn enter(
        self: &Arc<Self>,
        now: Duration,
        deadline: Duration,
        tally: usize,
        arrival: Arrival,
        flow: &str,
    ) -> Result<Running, Refused> {
        match self.arrive(now, tally, arrival, flow) {
            Entered::Runs(running) => Ok(running),
            Entered::Refused => Err(self.refuse(now)),
            Entered::Waits(queued) => queued.wait(deadline).await.ok_or_else(|| self.refuse(self.clock.elapsed())),
        }
    }

    fn arrive(self: &Arc<Self>, now: Duration, tally: usize, arrival: Arrival, flow: &str) -> Entered {
        let seats = arrival.width.seats();
        let mut inner = self.lock();
        let mut ready = None;
        let started = inner.queues.start(now, arrival, || {
            let (sender, receiver) = oneshot::channel();
            ready = Some(receiver);
            Waiter { tally, seats, flow: flow.into(), since: now, ready: sender }
        });
        let counts = &mut inner.tallies[tally].1;
        counts.widths.observe(f64::from(seats));
        match (started, ready) {
            (Start::Runs(ticket), _) => {
                counts.begin(ticket.seats(), Duration::ZERO);
                Entered::Runs(Running { level: self.clone(), tally, ticket: Some(ticket) })
            }
            (Start::Waits(place), Some(ready)) => {
                counts.waiting += 1;
                counts.waiting_seats += i64::from(seats);
                let queued = Queued {
                    level: self.clone(),
                    tally,
                    seats,
                    since: now,
                    place: Some(place),
                    ready,
                    timed_out: false,
                };
                self.settle(inner);
                Entered::Waits(queued)
            }
            _ => {
                let queued = inner.queues.policy() != Policy::Reject;
                let counts = &mut inner.tallies[tally].1;
                *(if queued { &mut counts.queue_full } else { &mut counts.no_seat }) += 1;
                Entered::Refused
            }
        }
    }

    fn refuse(&self, now: Duration) -> Refused {
        Refused { retry_secs: self.lock().dropped.count(now.as_secs()) }
    }

    fn finish(self: &Arc<Self>, tally: usize, ticket: Ticket) {
        let now = self.clock.elapsed();
        let mut inner = self.lock();
        inner.tallies[tally].1.end(ticket.seats(), now.saturating_sub(ticket.since()));
        inner.queues.finish(now, ticket);
        self.settle(inner);
    }

    /// Lets time pass.
    pub fn tick(self: &Arc<Self>) {
        let now = self.clock.elapsed();
        self.change(|inner| inner.queues.tick(now));
    }

    /// When somebody may be served by time alone.
    pub fn next_tick(&self) -> Option<Duration> {
        self.lock().queues.next_tick()
    }

    /// What the level wants, as of the last `periods` of adjusting.
    pub fn claim(&self, now: Duration, periods: u32) -> Claim {
        let mut inner = self.lock();
        let seen = inner.queues.take_demand(now);
        inner.demand.update(seen, periods);
        let (high, smoothed) = (inner.demand.high, inner.demand.smoothed);
        Claim { is_exempt: inner.shares.is_exempt, bounds: inner.bounds, high, smoothed }
    }

    pub fn set_limit(self: &Arc<Self>, now: Duration, limit: u32) {
        self.change(|inner| inner.queues.set_limit(now, limit));
    }

    /// For pages that show what there is.
    pub fn look<T>(&self, at: impl FnOnce(&mut Inner) -> T) -> T {
        at(&mut self.lock())
    }

    fn change(self: &Arc<Self>, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        self.settle(inner);
    }

    /// Tells those whose turn it is, without the lock. Who has left meanwhile makes room for others.
    fn settle(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        let turn = inner.queues.take_dispatched();
        let is_timed = inner.queues.next_tick().is_some();
        for (waiter, ticket) in &turn {
            let counts = &mut inner.tallies[waiter.tally].1;
            counts.waiting -= 1;
            counts.waiting_seats -= i64::from(waiter.seats);
            counts.begin(ticket.seats(), ticket.since().saturating_sub(waiter.since));
        }
        drop(inner);
        if is_timed {
            self.timer.notify_one();
        }
        for (waiter, ticket) in turn {
            if let Err(ticket) = waiter.ready.send(ticket) {
                drop(Running { level: self.clone(), tally: waiter.tally, ticket: Some(ticket) });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.level.finish(self.tally, ticket);
        }
    }
}

impl Queued {
    async fn wait(mut self, deadline: Duration) -> Option<Running> {
        let left = deadline.saturating_sub(self.level.clock.elapsed());
        match tokio::time::timeout(left, &mut self.ready).await {
            Ok(Ok(ticket)) => {
                self.place = None;
                Some(Running { level: self.level.clone(), tally: self.tally, ticket: Some(ticket) })
            }
            Ok(Err(_)) | Err(_) => {
                self.timed_out = true;
                None
            }
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.ready.close();
        let now = self.level.clock.elapsed();
        let mut inner = self.level.lock();
        if inner.queues.cancel(now, place, self.timed_out) {
            let counts = &mut inner.tallies[self.tally].1;
            counts.waiting -= 1;
            counts.waiting_seats -= i64::from(self.seats);
            counts.timed_out += 1;
            counts.waits_in_vain.observe(now.saturating_sub(self.since).as_secs_f64());
            self.level.settle(inner);
        } else {
            drop(inner);
            // Its turn came at the same moment.
            if let Ok(ticket) = self.ready.try_recv() {
                drop(Running { level: self.level.clone(), tally: self.tally, ticket: Some(ticket) });
            }
        }
    }
}
