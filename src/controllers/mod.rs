//! Controllers: each keeps one promise about one kind, as a pure function of a snapshot.

pub mod replicaset;
pub mod runtime;
mod shared;
#[cfg(test)]
mod testing;

use runtime::Controller;

/// Every controller, in the order in which they start.
pub static CONTROLLERS: &[&Controller] = &[&replicaset::REPLICA_SETS, &replicaset::REPLICATION_CONTROLLERS];
