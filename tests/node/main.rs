//! Tests of the node's parts on the real kernel. They need root and say so when they do not have it.

#[path = "../common/admin.rs"]
mod admin;
mod clock;
mod cni;
mod three;
#[path = "../common/watch.rs"]
mod watch;
