//! How messages reach the other servers, and theirs us.

use raft::eraftpb::Message;
use tokio::sync::mpsc;

use super::renewals::Renewals;

/// Messages that may wait to be handled; raft repeats what does not fit.
const INBOX_LEN_MAX: usize = 1_024;

/// Sends without waiting: raft expects loss, and repeats what matters.
pub(in crate::store) trait Transport: Send + 'static {
    fn send(&mut self, messages: Vec<Message>);

    /// Only `members` will be sent to from now on, until others are.
    fn keep(&mut self, _members: &dyn Fn(u64) -> bool) {}
}

/// What a driver learns from the network.
pub(in crate::store) enum Incoming {
    Message(Message),
    /// What the leader wrote without the log.
    Renewals(Renewals),
    /// What was sent to this server did not arrive.
    Unreachable(u64),
}

/// Where a transport puts what arrives.
pub(in crate::store) type Inbox = mpsc::Sender<Incoming>;

/// A transport's end for the driver: where to send, and what arrives.
pub(in crate::store) struct Link {
    pub(super) out: Box<dyn Transport>,
    pub(super) inbox: mpsc::Receiver<Incoming>,
}

impl Link {
    pub fn new<T: Transport>(connect: impl FnOnce(Inbox) -> T) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_LEN_MAX);
        Self { out: Box::new(connect(sender)), inbox }
    }
}
