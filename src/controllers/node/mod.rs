//! Nodes: whether they are alive, what that means for pods on them, and their pod address ranges.

pub mod eviction;
pub mod ipam;
pub mod lifecycle;
pub mod podgc;
mod taints;
