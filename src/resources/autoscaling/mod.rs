//! Resources of autoscaling.

pub mod horizontal_pod_autoscaler;
mod targets;
