//! Resources of autoscaling.

pub mod horizontal_pod_autoscaler;
mod hpa_checks;
mod hpa_v1;
mod targets;
