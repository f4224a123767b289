//! Resources of the core group.

pub mod binding;
pub mod component_status;
pub mod config_map;
pub mod endpoints;
pub mod event;
pub mod event_checks;
pub mod event_columns;
pub mod limit_range;
pub mod namespace;
pub mod node;
pub mod node_columns;
pub mod persistent_volume;
pub mod persistent_volume_claim;
pub mod pod;
pub mod pod_columns;
mod pod_status;
pub mod pod_template;
pub mod replication_controller;
pub mod resource_quota;
pub mod secret;
pub mod service;
pub mod service_account;
mod service_checks;
pub mod service_columns;

pub use service_checks::check_host_name;
