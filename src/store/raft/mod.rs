//! Consensus and its log: how a proposal becomes durable, agreed and applied. Names raft and
//! raft-engine, which nobody else does.

mod driver;
mod engine_files;
mod frames;
mod handle;
mod inspect;
mod log;
mod membership;
mod node;
mod offers;
mod peers;
mod queue;
mod recover;
mod renewals;
mod status;
mod storage;
mod transport;

pub use driver::RewriteError;
pub(super) use driver::{Driver, Shared};
pub(super) use handle::Handle;
pub use log::LogError;
pub use membership::{Change, ChangeError, Members};
pub(super) use offers::Offers;
pub(super) use peers::Peers;
pub(super) use queue::Input;
pub use recover::OpenError;
pub(super) use recover::{recover, replay, restart_log};
pub use status::{MemberStatus, Status};
pub(super) use transport::Link;
