//! Consensus and its log: how a proposal becomes durable, agreed and applied. Names raft and
//! raft-engine, which nobody else does.

mod driver;
mod engine_files;
mod log;
mod membership;
mod node;
mod queue;
mod recover;
mod storage;
#[cfg(test)]
mod tests;
mod transport;

pub(super) use driver::{Driver, Shared};
pub use log::LogError;
pub use membership::Members;
pub(super) use queue::{Input, Proposal};
pub use recover::OpenError;
pub(super) use recover::recover;
