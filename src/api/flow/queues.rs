//! Fair queues of one priority level, without clock or tasks: time comes in, decisions go out.
//!
//! Each flow has its few queues (see `shuffle`); a request waits in the one with the least work.
//! Queues are served as if each of them got its share of seats all the time: a queue has a virtual
//! time at which its next request would begin, and the request that would end first is next. What
//! a request really took is known when it ends, and the virtual time is put right then.
//!
//! Who waits is of a type that this module does not look at. [`QueueSet::take_dispatched`] must be
//! called after whatever may have made room.

use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::demand::{Integrator, Seen};
use super::shuffle::{HAND_MAX, Hand};
use super::width::Width;

/// How long a request is thought to take, before it is known.
const GUESS_NANOS: i128 = 3_000_000;

/// How a level deals with what it cannot serve at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Serves everything at once.
    Exempt,
    /// Turns away what is too much.
    Reject,
    Queue {
        queues: u16,
        hand: u8,
        length_max: u32,
    },
}

/// A request that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The flow's; equal flows share their queues.
    pub hash: u64,
    pub width: Width,
}

/// The seats of a request that runs. To be given back with [`QueueSet::finish`].
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    queue: Option<u16>,
    width: Width,
    since: Duration,
}

impl Ticket {
    /// When it was given.
    pub fn since(&self) -> Duration {
        self.since
    }

    pub fn seats(&self) -> u32 {
        self.width.seats()
    }
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    queue: u16,
    number: u64,
}

/// What becomes of a request at first.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    Runs(Ticket),
    Waits(Place),
    /// All seats are taken, and the queue is full or there is none.
    Refused,
}

/// Counts of a level, for dumps and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub waiting: u32,
    pub waiting_seats: u32,
    pub running: u32,
    /// Also those that are kept after the answer.
    pub seats: u32,
    pub dispatched: u64,
    pub refused: u64,
    pub timed_out: u64,
    pub cancelled: u64,
    /// The next one was too wide for the seats that were free.
    pub too_wide: u64,
}

/// A queue as a dump shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shown {
    pub waiting: u32,
    pub running: u32,
    pub seats: u32,
    pub next_secs: f64,
    pub initial_sum: u32,
    pub seats_sum: u32,
    pub work_secs: f64,
}

struct Waiting<W> {
    number: u64,
    width: Width,
    /// In virtual time.
    arrived: i128,
    who: W,
}

struct Queue<W> {
    waiting: VecDeque<Waiting<W>>,
    /// Virtual time, in seat-nanoseconds per queue, at which the next request begins.
    next: i128,
    /// What those who wait will take, in seat-nanoseconds.
    work: i128,
    running: u32,
    seats: u32,
}

/// Seats that are kept a while after their request; the heap gives the earliest first.
#[derive(PartialEq, Eq)]
struct Lasting {
    until: Duration,
    queue: Option<u16>,
    seats: u32,
}

impl Ord for Lasting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.until.cmp(&self.until)
    }
}

impl PartialOrd for Lasting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

pub struct QueueSet<W> {
    policy: Policy,
    limit: u32,
    /// At least as many as the policy says; more only until they are empty.
    queues: Vec<Queue<W>>,
    virtual_now: i128,
    now: Duration,
    robin: usize,
    dealt: usize,
    numbers: u64,
    /// Queues in which somebody waits or runs.
    active: u32,
    totals: Totals,
    lasting: BinaryHeap<Lasting>,
    dispatched: Vec<(W, Ticket)>,
    demand: Integrator,
}

fn work(width: &Width) -> i128 {
    i128::from(width.initial) * GUESS_NANOS + i128::from(width.last) * width.lasting.as_nanos() as i128
}

impl<W> QueueSet<W> {
    pub fn new(now: Duration, policy: Policy, limit: u32) -> Self {
        let mut set = Self {
            policy,
            limit,
            queues: Vec::new(),
            virtual_now: 0,
            now,
            robin: 0,
            dealt: 0,
            numbers: 0,
            active: 0,
            totals: Totals::default(),
            lasting: BinaryHeap::new(),
            dispatched: Vec::new(),
            demand: Integrator::starting_at(now),
        };
        set.fit_queues();
        set
    }

    /// Goes on with another policy. Who waits goes on waiting, in the queue where it is.
    pub fn set_policy(&mut self, now: Duration, policy: Policy) {
        self.advance(now);
        self.policy = policy;
        self.fit_queues();
        self.dispatch();
    }

    pub fn set_limit(&mut self, now: Duration, limit: u32) {
        self.advance(now);
        self.limit = limit;
        self.dispatch();
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes a request in. `who` is asked for only if it has to wait.
    pub fn start(&mut self, now: Duration, arrival: Arrival, who: impl FnOnce() -> W) -> Start {
        self.advance(now);
        let seats = arrival.width.seats();
        let Policy::Queue { queues, hand, length_max } = self.policy else {
            if !self.has_room(seats) {
                self.totals.refused += 1;
                return Start::Refused;
            }
            return Start::Runs(self.run(None, arrival.width));
        };
        let at = self.choose(arrival.hash, usize::from(queues), usize::from(hand));
        if self.totals.waiting == 0 && self.totals.seats < self.limit && self.has_room(seats) {
            // Nobody is to be fair to.
            self.begin_if_idle(at);
            self.queues[usize::from(at)].next += work(&arrival.width);
            return Start::Runs(self.run(Some(at), arrival.width));
        }
        let queue = &self.queues[usize::from(at)];
        if self.totals.seats >= self.limit && queue.waiting.len() >= length_max as usize {
            self.totals.refused += 1;
            return Start::Refused;
        }
        self.begin_if_idle(at);
        self.numbers += 1;
        let place = Place { queue: at, number: self.numbers };
        let waiting = Waiting { number: place.number, width: arrival.width, arrived: self.virtual_now, who: who() };
        let queue = &mut self.queues[usize::from(at)];
        self.active += u32::from(queue.is_idle());
        queue.work += work(&arrival.width);
        queue.waiting.push_back(waiting);
        queue.bound();
        self.totals.waiting += 1;
        self.totals.waiting_seats += seats;
        self.note_demand();
        self.dispatch();
        Start::Waits(place)
    }

    /// Takes back a request that waits; false if it waits no longer.
    pub fn cancel(&mut self, now: Duration, place: Place, timed_out: bool) -> bool {
        self.advance(now);
        let Some(queue) = self.queues.get_mut(usize::from(place.queue)) else { return false };
        let Some(at) = queue.waiting.iter().position(|waiting| waiting.number == place.number) else { return false };
        let Some(gone) = queue.waiting.remove(at) else { return false };
        queue.work -= work(&gone.width);
        queue.bound();
        let is_idle = queue.is_idle();
        self.active -= u32::from(is_idle);
        self.totals.waiting -= 1;
        self.totals.waiting_seats -= gone.width.seats();
        self.totals.refused += 1;
        let count = if timed_out { &mut self.totals.timed_out } else { &mut self.totals.cancelled };
        *count += 1;
        self.note_demand();
        // It may have been in the way of a narrower one.
        self.dispatch();
        true
    }

    /// Takes seats back, at once or when what its request leaves behind is over.
    pub fn finish(&mut self, now: Duration, ticket: Ticket) {
        self.advance(now);
        self.totals.running -= 1;
        let took = now.saturating_sub(ticket.since).as_nanos() as i128;
        if let Some(queue) = ticket.queue.and_then(|at| self.queues.get_mut(usize::from(at))) {
            queue.next -= i128::from(ticket.width.initial) * (GUESS_NANOS - took);
            queue.running -= 1;
            queue.bound();
            self.active -= u32::from(queue.is_idle());
        }
        let seats = ticket.seats();
        if ticket.width.lasting.is_zero() || ticket.width.last == 0 {
            self.release(ticket.queue, seats);
        } else {
            self.lasting.push(Lasting { until: now + ticket.width.lasting, queue: ticket.queue, seats });
        }
        self.dispatch();
    }

    /// Lets pass what time brings: seats that are free again by now.
    pub fn tick(&mut self, now: Duration) {
        self.advance(now);
        self.dispatch();
    }

    /// When somebody who waits may be served without anybody finishing.
    pub fn next_tick(&self) -> Option<Duration> {
        let lasting = self.lasting.peek().filter(|_| self.totals.waiting > 0);
        lasting.map(|lasting| lasting.until)
    }

    /// Whose turn it has become since the last call, with their tickets.
    pub fn take_dispatched(&mut self) -> Vec<(W, Ticket)> {
        std::mem::take(&mut self.dispatched)
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What was asked for since the last call.
    pub fn take_demand(&mut self, now: Duration) -> Seen {
        self.advance(now);
        self.demand.take(now)
    }

    /// Virtual time, in seconds.
    pub fn virtual_secs(&self) -> f64 {
        self.virtual_now as f64 / 1e9
    }

    pub fn shown(&self) -> impl Iterator<Item = Shown> {
        self.queues.iter().map(|queue| Shown {
            waiting: queue.waiting.len() as u32,
            running: queue.running,
            seats: queue.seats,
            next_secs: queue.next as f64 / 1e9,
            initial_sum: queue.waiting.iter().map(|waiting| waiting.width.initial).sum(),
            seats_sum: queue.waiting.iter().map(|waiting| waiting.width.seats()).sum(),
            work_secs: queue.work as f64 / 1e9,
        })
    }

    /// Those who wait, with their queue, place in it and width.
    pub fn waiting(&self) -> impl Iterator<Item = (usize, usize, &Width, &W)> {
        let queues = self.queues.iter().enumerate();
        queues.flat_map(|(at, queue)| {
            let waiting = queue.waiting.iter().enumerate();
            waiting.map(move |(place, waiting)| (at, place, &waiting.width, &waiting.who))
        })
    }

    fn fit_queues(&mut self) {
        let Policy::Queue { queues, .. } = self.policy else { return };
        let wanted = usize::from(queues.max(1));
        while self.queues.len() > wanted && self.queues.last().is_some_and(|last| last.is_unused()) {
            self.queues.pop();
        }
        if self.queues.len() < wanted {
            let new = || Queue { waiting: VecDeque::new(), next: self.virtual_now, work: 0, running: 0, seats: 0 };
            self.queues.resize_with(wanted, new);
        }
    }

    /// Lets time pass: virtual time runs as fast as each active queue is served.
    fn advance(&mut self, now: Duration) {
        while let Some(over) = self.lasting.peek().filter(|lasting| lasting.until <= now) {
            let until = over.until;
            self.pass(until);
            if let Some(over) = self.lasting.pop() {
                self.release(over.queue, over.seats);
            }
        }
        self.pass(now);
    }

    fn pass(&mut self, now: Duration) {
        let nanos = now.saturating_sub(self.now).as_nanos() as i128;
        self.now = self.now.max(now);
        if self.active > 0 {
            let wanted = self.totals.seats + self.totals.waiting_seats;
            self.virtual_now += nanos * i128::from(wanted.min(self.limit)) / i128::from(self.active);
        }
    }

    /// The queue of the hand with the least work; each in turn of those that have equally little.
    fn choose(&mut self, hash: u64, queues: usize, size: usize) -> u16 {
        let size = size.clamp(1, HAND_MAX).min(queues.max(1));
        let first = self.dealt % size;
        self.dealt = self.dealt.wrapping_add(1);
        if self.totals.waiting == 0 {
            // Nobody has any: the cards behind the first one need not be dealt.
            return Hand::deal(hash, queues, first + 1).cards().last().copied().unwrap_or_default();
        }
        let hand = Hand::deal(hash, queues, size);
        let cards = hand.cards();
        let in_turn = cards[first..].iter().chain(&cards[..first]).copied();
        in_turn.min_by_key(|card| self.queues[usize::from(*card)].work).unwrap_or_default()
    }

    fn begin_if_idle(&mut self, at: u16) {
        let queue = &mut self.queues[usize::from(at)];
        if queue.is_idle() {
            queue.next = self.virtual_now;
        }
    }

    fn has_room(&self, seats: u32) -> bool {
        match self.policy {
            Policy::Exempt => true,
            // What is wider than the level ever is runs alone.
            _ if seats > self.limit => self.totals.running == 0,
            _ => self.totals.seats + seats <= self.limit,
        }
    }

    fn run(&mut self, queue: Option<u16>, mut width: Width) -> Ticket {
        if width.last > self.limit.max(1) {
            // The same work with the seats that there are.
            width.lasting = width.lasting * width.last / self.limit.max(1);
            width.last = self.limit.max(1);
        }
        if let Some(queue) = queue.and_then(|at| self.queues.get_mut(usize::from(at))) {
            self.active += u32::from(queue.is_idle());
            queue.running += 1;
            queue.seats += width.seats();
        }
        self.totals.running += 1;
        self.totals.seats += width.seats();
        self.totals.dispatched += 1;
        self.note_demand();
        Ticket { queue, width, since: self.now }
    }

    fn release(&mut self, queue: Option<u16>, seats: u32) {
        self.totals.seats -= seats;
        if let Some(queue) = queue.and_then(|at| self.queues.get_mut(usize::from(at))) {
            queue.seats -= seats;
        }
        self.fit_queues();
        self.note_demand();
    }

    fn note_demand(&mut self) {
        self.demand.set(self.now, f64::from(self.totals.seats + self.totals.waiting_seats));
    }

    fn dispatch(&mut self) {
        while self.totals.waiting > 0 && self.totals.seats < self.limit && self.dispatch_one() {}
    }

    /// Serves the request that would end first; false if it is too wide for now, and then nobody
    /// overtakes it.
    fn dispatch_one(&mut self) -> bool {
        let count = self.queues.len();
        let in_turn = (1..=count).map(|step| (self.robin + step) % count);
        let end = |at: &usize| {
            let queue = &self.queues[*at];
            queue.waiting.front().map(|first| queue.next + work(&first.width))
        };
        let Some((_, at)) = in_turn.filter_map(|at| Some((end(&at)?, at))).min_by_key(|(end, _)| *end) else {
            return false;
        };
        let seats = self.queues[at].waiting.front().map_or(0, |first| first.width.seats());
        if !self.has_room(seats) {
            self.totals.too_wide += 1;
            return false;
        }
        let queue = &mut self.queues[at];
        let Some(first) = queue.waiting.pop_front() else { return false };
        self.robin = at;
        queue.work -= work(&first.width);
        queue.next += work(&first.width);
        // It was active for waiting and now is for running: `run` must not count it again.
        self.active -= u32::from(queue.is_idle());
        self.totals.waiting -= 1;
        self.totals.waiting_seats -= seats;
        let ticket = self.run(Some(at as u16), first.width);
        self.queues[at].bound();
        self.dispatched.push((first.who, ticket));
        true
    }
}

impl<W> Queue<W> {
    /// Whether nobody waits or runs.
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }

    /// Whether it may go away: nothing will come back to it.
    fn is_unused(&self) -> bool {
        self.is_idle() && self.seats == 0
    }

    /// Who was not there could not be served: a queue saves up nothing.
    fn bound(&mut self) {
        if let Some(first) = self.waiting.front() {
            self.next = self.next.max(first.arrived);
        }
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
