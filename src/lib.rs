//! Skiff: Kubernetes 1.36 in one binary.
//!
//! Modules in reading order; `ARCHITECTURE.md` has the map and the rules between them.

pub mod api;
pub mod backup;
pub mod base;
pub mod client;
pub mod cmd;
pub mod controllers;
pub mod kubelet;
pub mod network;
pub mod object;
pub mod proxy;
pub mod resources;
pub mod scheduler;
pub mod security;
pub mod sim;
pub mod store;

/// The version that clients see: the Kubernetes it speaks, and our own behind the `+`.
pub const VERSION: &str = concat!("v1.36.2+skiff", env!("CARGO_PKG_VERSION"));
