//! Controllers: each keeps one promise about one kind, as a pure function of a snapshot.

pub mod addons;
pub mod attributes;
pub mod autoscaler;
pub mod bootstrap;
pub mod certificates;
pub mod clusterrole;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod ephemeral;
pub mod gc;
pub mod job;
pub mod legacy_tokens;
pub mod namespace;
pub mod node;
pub mod quota;
pub mod replicaset;
pub mod rootca;
pub mod runtime;
pub mod serviceaccount;
mod shared;
pub mod statefulset;
#[cfg(test)]
pub mod testing;
pub mod tokens;
pub mod ttl;
pub mod volumes;

use runtime::Controller;

/// Every controller, in the order in which they start.
pub static CONTROLLERS: &[&Controller] = &[
    &serviceaccount::CONTROLLER,
    &tokens::CONTROLLER,
    &rootca::CONTROLLER,
    &certificates::CONTROLLER,
    &certificates::approve::CONTROLLER,
    &certificates::clean::CONTROLLER,
    &bootstrap::CLEANER,
    &bootstrap::SIGNER,
    &legacy_tokens::CONTROLLER,
    &clusterrole::CONTROLLER,
    &namespace::CONTROLLER,
    &gc::CONTROLLER,
    &node::lifecycle::CONTROLLER,
    &node::ipam::CONTROLLER,
    &node::eviction::CONTROLLER,
    &node::podgc::CONTROLLER,
    &replicaset::REPLICA_SETS,
    &replicaset::REPLICATION_CONTROLLERS,
    &deployment::CONTROLLER,
    &daemonset::CONTROLLER,
    &statefulset::CONTROLLER,
    &job::CONTROLLER,
    &job::strays::CONTROLLER,
    &cronjob::CONTROLLER,
    &ttl::CONTROLLER,
    &disruption::CONTROLLER,
    &quota::CONTROLLER,
    &ephemeral::CONTROLLER,
    &volumes::CLAIMS,
    &volumes::VOLUMES,
    &attributes::CONTROLLER,
    &endpoints::slices::CONTROLLER,
    &endpoints::legacy::CONTROLLER,
    &endpoints::mirror::CONTROLLER,
];
