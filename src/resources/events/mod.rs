//! Resources of events.k8s.io.

pub mod event;
