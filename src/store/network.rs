//! What servers ask each other, and over what.
//!
//! The store knows the others by their ids only. Whoever opens it brings a [`Network`] that finds them
//! and carries questions to their [`super::Store::answer`]; it may lose, repeat and delay what it likes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// The longest question or answer.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// Carries questions to other servers.
pub trait Network: Send + Sync + 'static {
    /// What server `to` answers.
    fn ask(&self, to: u64, ask: Ask, body: Bytes) -> BoxFuture<'static, Result<Bytes, NetworkError>>;
}

pub type NetworkRef = Arc<dyn Network>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To take raft's messages. The answer is empty.
    Messages,
    /// For the next part of a state.
    State,
    /// To take over what the leader wrote without the log. The answer is empty.
    Renewals,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("nobody knows where server {id:x} is")]
    NoAddress { id: u64 },
    #[error("server {id:x} cannot be reached: {why}")]
    Unreachable { id: u64, why: String },
    #[error("server {id:x} refuses: {why}")]
    Refused { id: u64, why: String },
}

/// The network of a server that is alone: nobody is there.
pub(super) struct Nobody;

impl Network for Nobody {
    fn ask(&self, to: u64, _ask: Ask, _body: Bytes) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
        Box::pin(std::future::ready(Err(NetworkError::NoAddress { id: to })))
    }
}
