//! What makes writes durable and agreed: the raft log that is built in, or an etcd.
//!
//! Whichever it is publishes to the store's hub, role and members; here is only what a
//! [`super::Store`] asks of it.

use bytes::Bytes;

use super::ProposeError;
use super::command::{Command, Outcome};
use super::etcd;
use super::network::Ask;
use super::raft::{Change, ChangeError, Handle, RewriteError, Status};
use super::wire::WireError;

#[derive(Clone)]
pub(super) enum Backend {
    Raft(Handle),
    Etcd(etcd::Handle),
}

impl Backend {
    /// Writes a command that is within the limits.
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        match self {
            Self::Raft(raft) => raft.propose(command).await,
            // Boxed: the client's futures are deep, and every handler above holds this one.
            Self::Etcd(etcd) => Box::pin(etcd.propose(command)).await,
        }
    }

    /// Waits until everything acknowledged anywhere before the call is published here.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        match self {
            Self::Raft(raft) => raft.read_barrier().await,
            Self::Etcd(etcd) => etcd.read_barrier().await,
        }
    }

    /// Answers another server of the cluster.
    pub fn answer(&self, ask: Ask, question: &[u8]) -> Result<Bytes, WireError> {
        match self {
            Self::Raft(raft) => raft.answer(ask, question),
            // Servers over etcd do not ask each other for states: an answer that no server understands.
            Self::Etcd(_) => Ok(Bytes::new()),
        }
    }

    pub async fn change_members(&self, change: Change) -> Result<(), ChangeError> {
        match self {
            Self::Raft(raft) => raft.change_members(change).await,
            Self::Etcd(etcd) => etcd.change_members(change),
        }
    }

    pub async fn rewrite(&self) -> Result<(), RewriteError> {
        match self {
            Self::Raft(raft) => raft.rewrite().await,
            Self::Etcd(_) => Err(RewriteError::Failed { reason: "the state is kept in etcd".into() }),
        }
    }

    pub fn set_witnesses(&self, ids: Vec<u64>) {
        match self {
            Self::Raft(raft) => raft.set_witnesses(ids),
            Self::Etcd(_) => (), // etcd has its own votes
        }
    }

    pub async fn status(&self) -> Option<Status> {
        match self {
            Self::Raft(raft) => raft.status().await,
            Self::Etcd(etcd) => Some(etcd.status()),
        }
    }

    /// Asks that another server leads; that one does shows in the role.
    pub async fn hand_over(&self) -> Result<(), ProposeError> {
        match self {
            Self::Raft(raft) => raft.hand_over().await,
            Self::Etcd(etcd) => Box::pin(etcd.hand_over()).await,
        }
    }

    /// Returns when nothing is published any more.
    pub async fn closed(&self) {
        match self {
            Self::Raft(raft) => raft.closed().await,
            Self::Etcd(etcd) => etcd.closed().await,
        }
    }
}
