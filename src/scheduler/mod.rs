//! The scheduler: chooses a node for each pod.
//!
//! [`cluster`] is the cluster as the cycle sees it, kept up to date change by change; [`cycle`] is
//! one attempt, pure, over the tables of [`framework`]; [`preempt`] looks for pods to drive off when
//! it fails; [`queue`] decides who is tried next; [`driver`] connects them with the API.

mod alike;
mod amounts;
pub mod cluster;
pub mod cycle;
mod driver;
pub mod framework;
mod info;
mod plugins;
pub mod preempt;
mod queue;
#[cfg(test)]
mod tests;

pub use driver::start;

/// Pods of this scheduler say so in `spec.schedulerName`.
pub const NAME: &str = "default-scheduler";
