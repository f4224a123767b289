//! Resources of apiextensions.k8s.io.

mod costs;
pub mod custom_resource_definition;
mod defaults;
mod expressions;
mod schema_checks;
mod spec_checks;
mod structural;
