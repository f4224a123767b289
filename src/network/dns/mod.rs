//! The cluster's DNS server, one on every node: answers for its own zone, passes on the rest.

mod forward;
mod message;
pub mod server;
pub mod zone;
