//! API priority and fairness: how much is worked on at once, and whose turn it is.
//!
//! A request belongs to the first FlowSchema that matches it, and so to a priority level (see
//! `matching`). A level has seats (`shares`) and queues (`queues`); a request takes seats by what it
//! makes the server do (`width`). What cannot be served waits for its turn, or is told to come back.
//!
//! All HTTP requests come through here but those that last: exec, logs, proxies; of a watch only its
//! beginning. The loops of this process do not: they wait for their own answers, so that there are
//! never more of them than loops.
//!
//! Which schema takes which requests is remembered by a hash of all it depends on, in a table
//! without locks; a level's lock is held for some dozens of instructions at begin and end.

pub mod bootstrap;
mod config;
mod demand;
mod dropped;
mod estimate;
mod keeper;
mod level;
mod matching;
mod queues;
mod report;
mod shares;
mod shuffle;
mod tally;
#[cfg(test)]
mod tests;
mod width;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::sync::Notify;

use crate::base::clock::ClockRef;
use crate::store::Store;

use super::metrics::{Gauge, Held, Metrics};
use config::{Config, Method};
use estimate::Estimates;
use level::{Level, Running};
use queues::Arrival;

pub use estimate::Watching;
pub use keeper::start;
pub use level::Refused;
pub use matching::Digest;
pub use width::Width;

/// Watches and other long requests, all together.
pub const LONG_RUNNING_MAX: usize = 20_000;
/// How often seats are lent and borrowed anew, while there are requests.
const ADJUST_EVERY: Duration = Duration::from_secs(10);
/// What a class depends on is longer than this only for users with very many groups.
const KEY_BYTES_MAX: usize = 1_024;
/// Places of the table of matches; a power of two.
const MATCHES: usize = 4_096;

/// What kind of load a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Read,
    Write,
    LongRunning,
}

pub struct Flow {
    clock: ClockRef,
    /// Seats of all levels together.
    total: u32,
    active: ArcSwap<Active>,
    /// Held by whoever changes `active`.
    changing: Mutex<()>,
    hasher: RandomState,
    /// When seats are next lent anew, in milliseconds.
    adjust_at: AtomicU64,
    /// By how much of what all want all have, as bits of a float.
    fair: AtomicU64,
    timer: Arc<Notify>,
    estimates: Estimates,
    inflight: [Arc<Gauge>; 3],
    inqueue: [Arc<Gauge>; 2],
    long_running: Arc<AtomicUsize>,
}

/// What is configured at the moment.
struct Active {
    config: Config,
    levels: Vec<Arc<Level>>,
    classes: Vec<Arc<Class>>,
    /// Upper bits of a request's hash, and its class in the lower sixteen.
    matches: Box<[AtomicU64]>,
}

/// Pieces of text, told apart by a byte that is in none of them.
struct Pieces {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

impl Pieces {
    fn add(&mut self, piece: &str) -> Option<()> {
        let end = self.len + piece.len();
        self.bytes.get_mut(self.len..end)?.copy_from_slice(piece.as_bytes());
        *self.bytes.get_mut(end)? = 0xff;
        self.len = end + 1;
        Some(())
    }
}

/// Where a request belongs: a schema and its level.
pub struct Class {
    pub schema_uid: HeaderValue,
    pub level_uid: HeaderValue,
    schema: Box<str>,
    level: Arc<Level>,
    tally: usize,
    method: Option<Method>,
    /// Sets its flows apart from those of other schemas.
    seed: u64,
}

/// The right to be worked on, given back when dropped.
pub struct Seat {
    running: Option<Running>,
    _counted: Held,
    _long: Option<Long>,
}

/// One of the long requests.
struct Long(Arc<AtomicUsize>);

impl Drop for Long {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seat {
    /// Gives back the seats of a watch whose beginning is over; it still counts as open.
    pub fn settle(&mut self) {
        self.running = None;
    }
}

impl Flow {
    /// `total` seats; nothing is configured yet but what is mandatory.
    pub fn new(total: u32, metrics: &Metrics, store: Store, clock: ClockRef) -> Self {
        let gauge = |kind| metrics.inflight.with(&[kind]);
        let empty = Active { config: Config::default(), levels: vec![], classes: vec![], matches: Box::default() };
        let flow = Self {
            total: total.max(1),
            active: ArcSwap::from_pointee(empty),
            changing: Mutex::default(),
            hasher: RandomState::new(),
            adjust_at: AtomicU64::new(0),
            fair: AtomicU64::new(0),
            timer: Arc::default(),
            estimates: Estimates::new(store, clock.clone()),
            inflight: [gauge("readOnly"), gauge("mutating"), gauge("longRunning")],
            inqueue: ["readOnly", "mutating"].map(|kind| metrics.inqueue.with(&[kind])),
            long_running: Arc::default(),
            clock,
        };
        flow.configure(Config::read([], []));
        flow
    }

    /// Where a request belongs.
    pub fn class(&self, digest: &Digest<'_>) -> Arc<Class> {
        let active = self.active.load();
        let hash = self.hash_of(digest);
        let place = hash.map(|hash| (hash, &active.matches[hash as usize % MATCHES]));
        if let Some((hash, place)) = place {
            let known = place.load(Ordering::Relaxed);
            if known != 0 && known >> 16 == hash >> 16 {
                return active.classes[(known & 0xffff) as usize].clone();
            }
        }
        let found = digest.find(&active.config);
        if let (Some((hash, place)), Ok(short)) = (place, u16::try_from(found)) {
            place.store(hash & !0xffff | u64::from(short), Ordering::Relaxed);
        }
        active.classes[found].clone()
    }

    /// Waits for the turn of a request that came in at `now`; at most a quarter of the time that it has.
    pub async fn enter(
        &self,
        class: &Arc<Class>,
        digest: &Digest<'_>,
        load: Load,
        width: Width,
        now: Duration,
        limit: Duration,
    ) -> Result<Seat, Refused> {
        self.adjust_if_due(now);
        let flow = digest.flow(class.method);
        let arrival = Arrival { hash: class.seed ^ self.hash_bytes(flow.as_bytes()), width };
        let deadline = now + (limit / 4).min(Duration::from_secs(60));
        let running = {
            let _waits = self.inqueue[usize::from(load == Load::Write)].clone().hold();
            class.level.enter(now, deadline, class.tally, arrival, flow).await?
        };
        Ok(Seat { running: Some(running), _counted: self.count(load), _long: None })
    }

    /// The right to last. Administrators always have it: somebody must be able to repair things.
    pub fn last(&self, seat: Option<Seat>, is_admin: bool) -> Result<Seat, Refused> {
        let open = self.long_running.fetch_add(1, Ordering::Relaxed);
        let long = Some(Long(self.long_running.clone()));
        if open >= LONG_RUNNING_MAX && !is_admin {
            return Err(Refused { retry_secs: 1 });
        }
        let running = seat.and_then(|seat| seat.running);
        Ok(Seat { running, _counted: self.count(Load::LongRunning), _long: long })
    }

    /// How many wait for an answer, without those that last.
    pub fn in_flight(&self) -> i64 {
        self.inflight[..2].iter().map(|gauge| gauge.get()).sum()
    }

    fn count(&self, load: Load) -> Held {
        self.inflight[load as usize].clone().hold()
    }

    pub fn estimates(&self) -> &Estimates {
        &self.estimates
    }

    /// A hash of everything that a request's class depends on; none if that is unusually long. It is
    /// put together first, since hashing many small pieces takes several times as long.
    fn hash_of(&self, digest: &Digest<'_>) -> Option<u64> {
        let mut key = Pieces { bytes: [0; KEY_BYTES_MAX], len: 0 };
        key.add(&digest.user.name)?;
        digest.user.groups.iter().try_for_each(|group| key.add(group))?;
        key.add("")?;
        key.add(digest.verb)?;
        match digest.target {
            Some(target) => {
                let pieces = [&target.group, &target.resource, &target.subresource, &target.namespace];
                pieces.into_iter().try_for_each(|piece| key.add(piece))?;
            }
            None => key.add(digest.path)?,
        }
        Some(self.hash_bytes(&key.bytes[..key.len]))
    }

    fn hash_bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// Goes on with another configuration. Levels that stay keep their queues; one that goes is
    /// forgotten when the last of its requests is done.
    fn configure(&self, config: Config) {
        let _turn = self.changing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let old = self.active.load();
        let shares: Vec<_> = config.levels.iter().map(|level| level.shares).collect();
        let mut levels = Vec::with_capacity(config.levels.len());
        for (level, bounds) in config.levels.iter().zip(shares::bounds(self.total, &shares)) {
            let known = old.levels.iter().find(|known| *known.name == level.name);
            let running =
                known.cloned().unwrap_or_else(|| Arc::new(Level::new(level, self.clock.clone(), self.timer.clone())));
            running.configure(level, bounds, known.is_none());
            levels.push(running);
        }
        let uid = |uid: &str| HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""));
        let class = |(schema, level): &(config::Schema, usize)| {
            Arc::new(Class {
                schema_uid: uid(&schema.metadata.uid),
                level_uid: uid(&config.levels[*level].uid),
                schema: schema.metadata.name.as_str().into(),
                tally: levels[*level].tally_of(&schema.metadata.name),
                level: levels[*level].clone(),
                method: schema.spec.distinguisher_method,
                seed: self.hash_bytes(schema.metadata.name.as_bytes()),
            })
        };
        let classes = config.schemas.iter().map(class).collect();
        let matches = (0..MATCHES).map(|_| AtomicU64::new(0)).collect();
        self.active.store(Arc::new(Active { config, levels, classes, matches }));
    }

    /// Lends and borrows seats, if it is time. Nothing has to wake up for it: who comes next does it.
    fn adjust_if_due(&self, now: Duration) {
        let (now_ms, every) = (now.as_millis() as u64, ADJUST_EVERY.as_millis() as u64);
        let due = self.adjust_at.load(Ordering::Relaxed);
        let take = || self.adjust_at.compare_exchange(due, now_ms + every, Ordering::AcqRel, Ordering::Relaxed);
        if now_ms < due || take().is_err() {
            return;
        }
        let periods = 1 + (now_ms - due) / every;
        let active = self.active.load();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        let claims: Vec<_> = active.levels.iter().map(|level| level.claim(now, periods)).collect();
        let (seats, fair) = shares::divide(&claims);
        self.fair.store(fair.to_bits(), Ordering::Relaxed);
        for (level, seats) in active.levels.iter().zip(seats) {
            level.set_limit(now, seats);
        }
    }
}

impl Class {
    /// What one request of the level may take at most; 0 if the level does not say.
    pub fn width_max(&self) -> u32 {
        self.level.width_max()
    }
}
