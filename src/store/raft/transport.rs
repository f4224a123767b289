//! How messages reach the other servers. A cluster of one has nobody to send to.

use raft::eraftpb::Message;

/// Sends without waiting: raft expects loss, repeats what matters, and is told when a peer cannot be
/// reached. What arrives is given to the driver as an input.
pub(in crate::store) trait Transport: Send + 'static {
    fn send(&mut self, messages: Vec<Message>);
}

/// The transport of a cluster of one.
pub(in crate::store) struct Alone;

impl Transport for Alone {
    fn send(&mut self, messages: Vec<Message>) {
        debug_assert!(messages.is_empty(), "a cluster of one has nobody to send to");
    }
}
