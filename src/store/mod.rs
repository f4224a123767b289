//! Replicated, revisioned objects: never loses what it acknowledged.
//!
//! Writes are proposed as [`Command`]s, become durable in the raft log, and are then applied by the
//! pure [`mvcc::apply`]; or [`Store::external`] keeps them in an etcd that others operate. Reads come from memory: [`Store::state`] is the current state, as cheap as a
//! pointer, and [`Store::watch`] delivers every change after a revision. The store has never heard of
//! a Pod: it reads an object's key, revision and bytes.

mod aging;
mod applier;
mod backend;
mod base;
mod blocks;
pub mod command;
mod damage;
mod datadir;
mod device;
mod entry;
mod etcd;
mod event;
mod exposition;
pub mod files;
mod hub;
mod keeper;
mod metrics;
pub mod mvcc;
pub mod network;
mod pack;
mod raft;
mod range;
mod reserve;
mod reset;
mod ring;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod timeline;
mod waiters;
mod watch;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub use command::{Action, Command, CommandError, Expect, Outcome, Payload, Write};
use damage::Damages;
pub use damage::{Damage, Part, Remedy};
pub use datadir::DataDirError;
pub use etcd::{Endpoint, Etcd, EtcdError, EtcdErrorKind, EtcdOptions, External, ExternalError};
pub use event::{Event, EventKind, EventRef};
pub use keeper::LogLimits;
pub use metrics::{Count, Doubling, Metrics};
pub use network::{Ask, Network, NetworkError, NetworkRef};
pub use raft::{Change, ChangeError, LogError, MemberStatus, Members, OpenError, RewriteError, Status};
pub use range::KeyRange;
pub use reset::{Reset, ResetError, reset};
pub use ring::RingLimits;
pub use snapshot::SnapshotError;
pub use state::{Position, State};
pub use watch::{Watch, WatchEnd, WatchError};

use crate::base::clock::{ClockRef, SystemClock};
use crate::base::error::Chain;
use crate::base::rand::{RandRef, SystemRand};
use crate::base::seal::{NoSeal, SealRef};
use crate::base::service::Scope;
use crate::object::Revision;
use backend::Backend;
use datadir::DataDir;
use files::{DiskRef, SystemDisk};
use hub::Hub;
use raft::{Driver, Input, Link, Offers, Peers};

/// How long a reader waits to hear that its state is new enough.
const BARRIER_MAX: Duration = Duration::from_secs(5);
/// How long a leader that stops waits for another to take over.
const RESIGN_MAX: Duration = Duration::from_secs(2);

/// Proposals that may wait to be taken into the log; who comes later waits to be let in.
const QUEUE_LEN_MAX: usize = 4_096;

/// Where a store is and what it may use.
#[derive(Clone)]
pub struct Options {
    /// Of this store alone; made if it is not there.
    pub dir: PathBuf,
    pub clock: ClockRef,
    pub rand: RandRef,
    pub disk: DiskRef,
    pub history: RingLimits,
    pub log: LogLimits,
    /// The way to the other servers of the cluster.
    pub network: NetworkRef,
    /// What passes on its way to the disk.
    pub seal: SealRef,
    /// A new directory waits to be taken in by a cluster instead of being one of its own.
    pub joins: bool,
    /// Other servers are known: what was lost here is got from them, under a new id.
    pub rejoins: bool,
    /// Votes and keeps the log, but no objects: so that two others are never without a majority.
    pub witness: bool,
}

impl Options {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            clock: SystemClock::shared(),
            rand: SystemRand::shared(),
            disk: SystemDisk::shared(),
            history: RingLimits::default(),
            log: LogLimits::default(),
            network: Arc::new(network::Nobody),
            seal: NoSeal::shared(),
            joins: false,
            rejoins: false,
            witness: false,
        }
    }
}

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
    #[error("it is not known whether the command was done")]
    Unknown,
    #[error("{reason}")]
    Unreachable { reason: Arc<str> },
    #[error("the store is closed")]
    Closed,
}

/// A question of another server that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a question that makes no sense")]
pub struct BadQuestion(#[source] wire::WireError);

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
    /// What keeps the state does not answer. Reads of what is in memory go on.
    Unreachable { reason: Arc<str> },
}

/// What this server is in the cluster of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader { term: u64 },
    Follower { term: u64, leader: Option<u64> },
}

impl Role {
    pub fn term(self) -> u64 {
        match self {
            Self::Leader { term } | Self::Follower { term, .. } => term,
        }
    }
}

/// Reads a snapshot file as a whole, and checks it.
pub fn read_snapshot(path: &std::path::Path, seal: &SealRef) -> Result<State, SnapshotError> {
    snapshot::load(&*SystemDisk::shared(), path, seal).map(|base| base.state)
}

/// A handle of the store. Clones share it; the store itself runs in the scope it was opened in.
#[derive(Clone)]
pub struct Store {
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    health: tokio::sync::watch::Receiver<Health>,
    role: tokio::sync::watch::Receiver<Role>,
    alone: Arc<AtomicBool>,
    damages: Damages,
    dir: Arc<Path>,
    id: u64,
    replaces: Option<u64>,
    is_joining: bool,
    members: tokio::sync::watch::Receiver<Members>,
    seal: SealRef,
    backend: Backend,
}

impl Store {
    /// Opens the store in `options.dir` and runs it in `scope`. Returns when every write that was ever
    /// acknowledged is in the state.
    pub async fn open(options: Options, scope: &Scope) -> Result<Self, OpenError> {
        let (inputs, received) = mpsc::channel(QUEUE_LEN_MAX);
        let (opened, opening) = oneshot::channel();
        let outer = scope.child("network");
        let clock = options.clock.clone();
        let (driver, store) = Scope::blocking(move || Self::recover(options, inputs, outer, opened)).await?;
        let running = scope.clone();
        scope.spawn("store", async move { driver.run(received, running).await });
        opening.await.map_err(|_| OpenError::Ended)?;
        let (hub, metrics, running) = (store.hub.clone(), store.metrics.clone(), scope.clone());
        scope.spawn("history", async move {
            tokio::select! {
                () = aging::run(hub, metrics, clock) => (),
                () = running.stopping() => (),
            }
        });
        Ok(store)
    }

    /// A real store in a directory that goes away with the test's runtime.
    #[cfg(test)]
    pub async fn temporary() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let scope = Scope::root("test");
        let store = Self::open(Options::new(dir.path().join("store")), &scope).await.expect("a store");
        scope.spawn("directory", async move {
            std::future::pending::<()>().await;
            drop(dir);
        });
        store
    }

    fn recover(
        options: Options,
        inputs: mpsc::Sender<Input>,
        scope: Scope,
        opened: oneshot::Sender<()>,
    ) -> Result<(Driver, Self), OpenError> {
        let Options { dir, clock, rand, disk, history, log, network, seal, joins, rejoins, witness } = options;
        let path = dir.clone();
        let mut dir = DataDir::open(&dir, &*rand, joins, witness)?;
        if seal.generation() != 0 {
            dir.seals()?;
        }
        let metrics = Arc::<Metrics>::default();
        let damages = Damages::new(metrics.clone());
        let recovered = match raft::recover(&dir, &disk, &seal, log, &rand, &damages) {
            Err(error) if error.is_loss() && rejoins => {
                tracing::error!(error = %Chain(&error), "joining the cluster anew for what is lost here");
                dir.start_over(&*rand, &*disk)?;
                damages.add(Part::Log, dir.log(), Remedy::Rejoined { aside: dir.log().with_extension("damaged") });
                raft::recover(&dir, &disk, &seal, log, &rand, &damages)?
            }
            recovered => recovered?,
        };
        if recovered.base.members.contains(dir.member) {
            dir.started_over();
        }
        let mut inbox = None;
        let link = Link::new(|sender| {
            inbox = Some(sender.clone());
            Peers::new(network.clone(), scope.clone(), sender)
        });
        let inbox = inbox.expect("a link connects");
        let hub = Hub::new(recovered.base.state.clone(), history);
        let shared = raft::Shared {
            hub,
            metrics,
            damages,
            health: tokio::sync::watch::Sender::new(Health::Good),
            role: tokio::sync::watch::Sender::new(Role::Follower { term: 0, leader: None }),
            alone: Arc::default(),
            offers: Offers::new(clock.clone()),
            members: tokio::sync::watch::Sender::new(recovered.base.members.clone()),
            seal: seal.clone(),
        };
        let store = Self {
            hub: shared.hub.clone(),
            metrics: shared.metrics.clone(),
            health: shared.health.subscribe(),
            role: shared.role.subscribe(),
            alone: shared.alone.clone(),
            damages: shared.damages.clone(),
            dir: path.into(),
            id: dir.member,
            replaces: dir.replaces,
            is_joining: dir.is_joining,
            members: shared.members.subscribe(),
            seal,
            backend: Backend::Raft(raft::Handle { inputs, inbox, offers: shared.offers.clone() }),
        };
        let driver = Driver::new(dir, disk, clock, log, recovered, shared, (link, network, scope), opened)?;
        Ok((driver, store))
    }

    /// Applies `command` once it is durable, and tells what became of it. By then [`Store::state`] and
    /// watchers have it.
    ///
    /// Cancelling does not take the command back.
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        command.check()?;
        self.backend.propose(command).await
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

    /// Ends every watch after what it has still to deliver, for good: the server stops.
    pub fn end_watches(&self) {
        self.hub.close();
    }

    /// Waits until this server has applied every write that any server had acknowledged when it was
    /// called. A lone server knows so without asking.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        if self.alone.load(Ordering::Acquire) {
            return Ok(());
        }
        self.backend.read_barrier().await
    }

    /// Answers another server's question, which came over its [`Network`].
    pub fn answer(&self, ask: Ask, question: &[u8]) -> Result<Bytes, BadQuestion> {
        self.backend.answer(ask, question).map_err(BadQuestion)
    }

    /// This server's own id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The id that this server had before it lost a part of what it had, and until it has all again.
    pub fn replaces(&self) -> Option<u64> {
        self.replaces
    }

    /// Whether a cluster that others founded has still to take this server in.
    pub fn is_outside(&self) -> bool {
        self.is_joining && !self.members.borrow().contains(self.id)
    }

    /// What was found damaged since this server started.
    pub fn damages(&self) -> tokio::sync::watch::Receiver<Vec<Damage>> {
        self.damages.found()
    }

    /// What this store counts, as a page for Prometheus.
    pub fn metrics_page(&self) -> String {
        let shown = exposition::Shown {
            metrics: &self.metrics,
            dir: &self.dir,
            health: self.health.borrow().clone(),
            role: *self.role.borrow(),
            members: self.members.borrow().clone(),
        };
        shown.page()
    }

    /// Who belongs to the cluster, as far as this server has heard.
    pub fn members(&self) -> tokio::sync::watch::Receiver<Members> {
        self.members.clone()
    }

    /// Whether others keep the state: backups and members are their business.
    pub fn is_external(&self) -> bool {
        matches!(self.backend, Backend::Etcd(_))
    }

    /// Whether this server is all of its cluster.
    pub fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Acquire)
    }

    /// Whether a write is this server's to make or to refuse: it leads, or nobody else ever could.
    pub fn decides(&self) -> bool {
        self.leads() || self.is_alone()
    }

    /// Whether this server leads, and so may write.
    pub fn leads(&self) -> bool {
        matches!(*self.role.borrow(), Role::Leader { .. })
    }

    /// Changes who belongs to the cluster; only the leader can. Done when this returns.
    pub async fn change_members(&self, change: Change) -> Result<(), ChangeError> {
        self.backend.change_members(change).await
    }

    /// Writes everything into a file of its own, durably; older files there stay. Returns the revision.
    pub async fn save(&self, path: PathBuf, compress: bool) -> Result<Revision, SnapshotError> {
        let base = base::Base { state: State::clone(&self.state()), members: self.members.borrow().clone() };
        let revision = base.state.revision();
        let seal = self.seal.now();
        let packing = if compress { snapshot::Packing::Gzip } else { snapshot::Packing::None };
        Scope::blocking(move || snapshot::export(&*SystemDisk::shared(), &path, &base, &*seal, packing)).await?;
        Ok(revision)
    }

    /// Leaves nothing on the disk as it was written before: what is encrypted now, and with which key,
    /// is so in every file of the store when this returns.
    pub async fn rewrite(&self) -> Result<(), RewriteError> {
        self.backend.rewrite().await
    }

    /// Which servers are not to be asked to lead: they have nothing to answer with.
    pub fn set_witnesses(&self, ids: Vec<u64>) {
        self.backend.set_witnesses(ids);
    }

    pub async fn status(&self) -> Option<Status> {
        self.backend.status().await
    }

    /// Lets another server lead before this one stops, if there is one; waits a moment until it does, so that
    /// what comes here still is handed over to it.
    pub async fn resign(&self) {
        if !self.leads() || self.alone.load(Ordering::Acquire) || self.backend.hand_over().await.is_err() {
            return;
        }
        let mut role = self.role.clone();
        // In etcd there may be nobody else, and who is there finds out by itself.
        let may_be_last = self.is_external();
        let handed_over = role.wait_for(|role| match role {
            Role::Leader { .. } => false,
            Role::Follower { leader, .. } => leader.is_some() || may_be_last,
        });
        if tokio::time::timeout(RESIGN_MAX, handed_over).await.is_err() {
            tracing::warn!("no other server took over the lead");
        }
    }

    /// Waits until the state has reached `revision`.
    pub async fn reached(&self, revision: Revision) -> Result<(), ProposeError> {
        let mut advanced = self.hub.advanced();
        tokio::select! {
            biased;
            _ = advanced.wait_for(|now| *now >= revision) => Ok(()),
            () = self.backend.closed() => Err(ProposeError::Closed),
        }
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
