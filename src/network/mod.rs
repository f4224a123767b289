//! The node's network: how pods get links and addresses, find each other by name, and reach out.

pub mod cni;
pub mod netlink;
