//! How messages reach the other servers, and theirs us. A cluster of one has nobody to talk to.

use raft::eraftpb::Message;
use tokio::sync::mpsc;

/// Messages that may wait to be handled; raft repeats what does not fit.
const INBOX_LEN_MAX: usize = 1_024;

/// Sends without waiting: raft expects loss, and repeats what matters.
pub(super) trait Transport: Send + 'static {
    fn send(&mut self, messages: Vec<Message>);
}

/// Where a transport puts what arrives.
pub(super) type Inbox = mpsc::Sender<Message>;

/// A transport's end for the driver: where to send, and what arrives.
pub(super) struct Link {
    pub out: Box<dyn Transport>,
    pub inbox: mpsc::Receiver<Message>,
}

impl Link {
    pub fn new<T: Transport>(connect: impl FnOnce(Inbox) -> T) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_LEN_MAX);
        Self { out: Box::new(connect(sender)), inbox }
    }
}

/// The transport of a cluster of one.
pub(super) struct Alone;

impl Transport for Alone {
    fn send(&mut self, messages: Vec<Message>) {
        debug_assert!(messages.is_empty(), "a cluster of one has nobody to send to");
    }
}
