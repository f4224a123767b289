//! What a [`crate::store::Store`] asks of etcd: writes, and whether its state is new enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::client::Etcd;
use super::error::{EtcdError, EtcdErrorKind};
use super::layout::modified;
use super::lease::Keeper;
use super::txn::{self, Answer};
use crate::base::clock::ClockRef;
use crate::object::Revision;
use crate::store::command::{Command, CommandError, Outcome, Write};
use crate::store::hub::Hub;
use crate::store::metrics::Metrics;
use crate::store::raft::{Change, ChangeError, MemberStatus, Members, Status};
use crate::store::{BARRIER_MAX, Health, ProposeError, Role};

/// Transactions that are under way at once; who comes later waits to be let in.
const UNDER_WAY_MAX: usize = 512;
/// How long after a write is done its event may take to come.
const EVENT_MAX: Duration = Duration::from_secs(10);
/// How long others may take the lead after this server gave it back.
pub(super) const SHY: Duration = Duration::from_secs(5);
/// Readers that may wait to be asked for.
pub(super) const READERS_MAX: usize = 4_096;

pub(super) type Reader = oneshot::Sender<Result<(), ProposeError>>;

/// Clones share everything.
#[derive(Clone)]
pub(in crate::store) struct Handle {
    pub(super) keeper: Keeper,
    pub(super) hub: Arc<Hub>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) members: watch::Receiver<Members>,
    pub(super) health: watch::Sender<Health>,
    pub(super) readers: mpsc::Sender<Reader>,
    pub(super) under_way: Arc<Semaphore>,
    pub(super) shy_until: Shy,
}

impl Handle {
    pub fn slots() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(UNDER_WAY_MAX))
    }

    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        let term = match *self.role.borrow() {
            Role::Leader { term } => term,
            Role::Follower { leader, .. } => return Err(ProposeError::NotLeader { leader }),
        };
        if command.term.is_some_and(|meant| meant != term) {
            return Ok(Outcome::Deposed { term });
        }
        let _slot = self.under_way.acquire().await.map_err(|_| ProposeError::Closed)?;
        self.metrics.proposals.add(1);
        let request = txn::request(self.etcd().layout(), &command, term);
        let response = self.etcd().txn(request).await;
        let response = response.map_err(|error| self.refused(&error, &command))?;
        self.well();
        if response.succeeded {
            let revision = Revision(super::proto::revision(response.header.as_ref()));
            self.reach(revision).await?;
        }
        match txn::answer(&command, term, response, &self.hub.state()) {
            Answer::Outcome(outcome) => Ok(outcome),
            Answer::Deposed => Err(ProposeError::NotLeader { leader: None }),
            Answer::Nonsense => Err(ProposeError::Unknown),
        }
    }

    /// Readers and watchers here see what was written.
    async fn reach(&self, revision: Revision) -> Result<(), ProposeError> {
        let mut advanced = self.hub.advanced();
        let arrived = advanced.wait_for(|now| *now >= revision);
        tokio::select! {
            biased;
            arrived = tokio::time::timeout(EVENT_MAX, arrived) => match arrived {
                Ok(Ok(_)) => Ok(()),
                _ => Err(ProposeError::Unknown),
            },
            () = self.closed() => Err(ProposeError::Unknown),
        }
    }

    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        let (reply, answer) = oneshot::channel();
        self.readers.send(reply).await.map_err(|_| ProposeError::Closed)?;
        match tokio::time::timeout(BARRIER_MAX, answer).await {
            Ok(answered) => answered.unwrap_or(Err(ProposeError::Closed)),
            Err(_) => Err(ProposeError::Unreachable { reason: "etcd does not say how new its state is".into() }),
        }
    }

    /// Servers come and go by themselves: one that says where it is is there.
    pub fn change_members(&self, change: Change) -> Result<(), ChangeError> {
        match change {
            Change::Add(_) => Ok(()),
            Change::Promote(_) | Change::Remove(_) => Err(ChangeError::External),
        }
    }

    pub fn status(&self) -> Status {
        let role = *self.role.borrow();
        let id = self.keeper.who.id;
        let member = |id: &u64| MemberStatus {
            id: *id,
            is_voter: true,
            matched: None,
            is_restoring: false,
            heard_ago: Some(Duration::ZERO),
        };
        Status {
            id,
            leader: match role {
                Role::Leader { .. } => Some(id),
                Role::Follower { leader, .. } => leader,
            },
            term: role.term(),
            last_index: self.hub.published().0,
            applied_index: self.hub.published().0,
            members: self.members.borrow().voters.iter().map(member).collect(),
        }
    }

    pub async fn hand_over(&self) -> Result<(), ProposeError> {
        self.shy_until.begin();
        self.keeper.give_up().await;
        Ok(())
    }

    pub async fn closed(&self) {
        self.readers.closed().await;
    }

    fn etcd(&self) -> &Etcd {
        &self.keeper.etcd
    }

    fn well(&self) {
        self.health.send_if_modified(|health| {
            let was_full = *health == Health::DiskFull;
            if was_full {
                tracing::info!("etcd has space again: writes are accepted");
                *health = Health::Good;
            }
            was_full
        });
    }

    fn refused(&self, error: &EtcdError, command: &Command) -> ProposeError {
        match error.kind {
            EtcdErrorKind::Full => {
                if self.health.send_replace(Health::DiskFull) != Health::DiskFull {
                    tracing::error!(%error, "etcd takes no writes until it has space; reads go on");
                }
                ProposeError::DiskFull
            }
            EtcdErrorKind::TooLarge => too_large(command),
            EtcdErrorKind::Lost => {
                tracing::debug!(%error, "nobody knows whether a write has happened");
                ProposeError::Unknown
            }
            _ => ProposeError::Unreachable { reason: error.to_string().into() },
        }
    }
}

fn too_large(command: &Command) -> ProposeError {
    let len = command.writes.iter().map(Write::size).sum();
    let error = match command.writes.as_slice() {
        [write] => CommandError::ObjectTooLarge { key: write.key.clone(), len },
        _ => CommandError::TooLarge { len },
    };
    ProposeError::Invalid(error)
}

/// Until when this server leaves the lead to others.
#[derive(Clone)]
pub(super) struct Shy {
    clock: ClockRef,
    until_ms: Arc<AtomicU64>,
}

impl Shy {
    pub fn new(clock: ClockRef) -> Self {
        Self { clock, until_ms: Arc::default() }
    }

    fn begin(&self) {
        self.until_ms.store((self.clock.elapsed() + SHY).as_millis() as u64, Ordering::Release);
    }

    pub fn is_now(&self) -> bool {
        self.clock.elapsed().as_millis() < u128::from(self.until_ms.load(Ordering::Acquire))
    }
}

/// Lets readers through: one question to etcd for all that wait. Ends with the store.
pub(super) async fn answer_readers(etcd: Etcd, hub: Arc<Hub>, mut readers: mpsc::Receiver<Reader>) {
    let mut waiting = Vec::new();
    while readers.recv_many(&mut waiting, READERS_MAX).await > 0 {
        // Every command writes this key, so it was last written when the last command was.
        let head = etcd.read(etcd.layout().head()).await;
        let answer = match head {
            Ok(head) => {
                let wanted = head.as_ref().map_or(Revision::ZERO, modified);
                let mut advanced = hub.advanced();
                match tokio::time::timeout(BARRIER_MAX, advanced.wait_for(|now| *now >= wanted)).await {
                    Ok(Ok(_)) => Ok(()),
                    _ => Err(ProposeError::Unreachable { reason: "etcd does not send its events".into() }),
                }
            }
            Err(error) => Err(ProposeError::Unreachable { reason: error.to_string().into() }),
        };
        for reader in waiting.drain(..) {
            let _ = reader.send(answer.clone()); // whoever asked may have gone
        }
    }
}
