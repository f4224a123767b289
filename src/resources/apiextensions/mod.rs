//! Resources of apiextensions.k8s.io.

pub mod custom_resource_definition;
mod defaults;
mod schema_checks;
mod spec_checks;
mod structural;
