//! Resources of apps.

pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod stateful_set;

use crate::object::tree::{Tree, TreePath};

/// Ready of wished replicas.
fn ready(object: &Tree) -> Tree {
    let number = |path| object.int(path).unwrap_or(0);
    format!("{}/{}", number("status.readyReplicas"), number("spec.replicas")).into()
}
