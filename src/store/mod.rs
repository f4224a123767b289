//! Replicated, revisioned objects: never loses what it acknowledged.
//!
//! Writes are proposed as [`Command`]s, become durable in the raft log, and are then applied by the
//! pure [`mvcc::apply`]. Reads come from memory: [`Store::state`] is the current state, as cheap as a
//! pointer, and [`Store::watch`] delivers every change after a revision. The store has never heard of
//! a Pod: it reads an object's key, revision and bytes.

pub mod command;
mod event;
mod hub;
mod metrics;
pub mod mvcc;
mod range;
mod ring;
mod state;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use command::{Action, Command, CommandError, Expect, Outcome, Payload, Write};
pub use event::{Event, EventKind, EventRef};
pub use metrics::Metrics;
pub use range::KeyRange;
pub use ring::RingLimits;
pub use state::{Position, State};
pub use watch::{Watch, WatchEnd, WatchError};

use crate::object::Revision;
use hub::Hub;
use ring::Record;

/// Why a command has no outcome. Only [`ProposeError::Unknown`] may have been written after all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("command refused")]
    Invalid(#[from] CommandError),
    #[error("this server does not lead the cluster")]
    NotLeader { leader: Option<u64> },
    #[error("the disk of the store is full")]
    DiskFull,
    #[error("the store cannot write its log any more and must be restarted: {reason}")]
    LogFailed { reason: Arc<str> },
    #[error("leadership was lost before the command's outcome was known")]
    Unknown,
    #[error("the store is closed")]
    Closed,
}

/// Whether the store can be written to, and why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Good,
    /// Writes are refused until there is space; reads go on.
    DiskFull,
    /// The log could not be made durable. Reads go on; writes need a restart, which reads what the
    /// disk really holds.
    LogFailed { reason: Arc<str> },
}

/// What this server is in the cluster of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader { term: u64 },
    Follower { term: u64, leader: Option<u64> },
}

/// A handle of the store. Clones share it.
#[derive(Clone)]
pub struct Store {
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    health: tokio::sync::watch::Receiver<Health>,
    role: tokio::sync::watch::Receiver<Role>,
    memory: Arc<Mutex<State>>,
}

impl Store {
    /// An empty store that keeps nothing.
    pub fn in_memory() -> Self {
        Self {
            hub: Hub::new(State::default(), RingLimits::default()),
            metrics: Arc::default(),
            health: tokio::sync::watch::channel(Health::Good).1,
            role: tokio::sync::watch::channel(Role::Leader { term: 1 }).1,
            memory: Arc::default(),
        }
    }

    /// Applies `command` once it is durable, and tells what became of it. By then [`Store::state`] and
    /// watchers have it.
    ///
    /// Cancelling does not take the command back.
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        command.check()?;
        let mut state = self.memory.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let position = Position { index: state.position().index + 1, term: 1 };
        let effects = mvcc::apply(&mut state, position, command);
        let at = Duration::ZERO;
        let records = effects.events.into_iter().map(|event| Record { event, position, at }).collect();
        self.hub.publish(state.clone(), records, at);
        Ok(effects.outcome)
    }

    /// The current state. On the leader it holds every write that was answered before the call; on
    /// other servers call [`Store::read_barrier`] first.
    pub fn state(&self) -> Arc<State> {
        self.hub.state()
    }

    /// The state as it was at `revision`, as long as history reaches back to it.
    pub fn state_at(&self, revision: Revision) -> Result<Arc<State>, WatchError> {
        self.hub.state_at(revision)
    }

    /// Delivers every change in `keys` after `from`, in revision order, once each.
    ///
    /// A reader that is slower than history is kept is closed with [`WatchEnd::TooSlow`]: one stopped
    /// client must not hold up every write. Clients list again, as they do on 410.
    ///
    /// The changes of one command have one revision: resume only from a revision of which all events
    /// were read, as [`Watch::progress`] tells.
    pub fn watch(&self, keys: KeyRange, from: Revision) -> Result<Watch, WatchError> {
        self.hub.watch(keys, from)
    }

    /// Waits until this server has applied every write that any server had acknowledged when it was
    /// called. A lone server knows so without asking.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        Ok(())
    }

    /// Waits until the state has reached `revision`.
    pub async fn reached(&self, revision: Revision) -> Result<(), ProposeError> {
        let mut advanced = self.hub.advanced();
        let reached = advanced.wait_for(|now| *now >= revision).await;
        reached.map(|_| ()).map_err(|_| ProposeError::Closed)
    }

    pub fn health(&self) -> tokio::sync::watch::Receiver<Health> {
        self.health.clone()
    }

    pub fn role(&self) -> tokio::sync::watch::Receiver<Role> {
        self.role.clone()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
