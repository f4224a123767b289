//! The node: runs the pods bound to it and says how they are.
//!
//! Speaks CRI v1 to containerd, which it starts itself unless told of a running one. What a pod
//! needs next is decided by a pure function of the pod wished for and the pod seen
//! ([`pods::plan`]); one worker for each pod carries it out. Nothing here knows of networking: the
//! container runtime calls the CNI plugin. Containers never depend on this process being alive.

pub mod config;
pub mod containerd;
pub mod cri;
pub mod spec;

pub use config::Config;
