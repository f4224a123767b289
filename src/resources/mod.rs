//! What we serve: one file per resource, one row each in [`RESOURCES`].

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apiserverinternal;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod cells;
pub mod certificates;
pub mod check;
pub mod claims;
pub mod column;
pub mod coordination;
pub mod core;
pub mod custom;
pub mod def;
pub mod defaults;
pub mod discovery;
pub mod events;
pub mod flowcontrol;
pub mod inner;
pub mod ip;
pub mod jsonpath;
pub mod labels;
pub mod meta;
pub mod names;
pub mod networking;
pub mod node;
pub mod numbers;
pub mod path;
pub mod podspec;
pub mod policy;
pub mod quantities;
pub mod rbac;
pub mod registry;
pub mod resource;
pub mod resource_k8s_io;
pub mod scheduling;
pub mod signers;
pub mod storage;
pub mod storagemigration;
pub mod table;
pub mod webhooks;

pub use column::{Cell, Column, Columns, CustomColumn};
pub use def::{ResourceDef, Rules, ScalePaths, Scope, Special, Subresource, Verbs, Version};
pub use registry::{Group, Registry, Served};
pub use resource::{Resource, ResourceVersion, SchemaRef};

/// Every built-in resource, in the order that discovery lists groups.
pub static RESOURCES: &[&ResourceDef] = &[
    &core::binding::DEF,
    &core::component_status::DEF,
    &core::config_map::DEF,
    &core::endpoints::DEF,
    &core::event::DEF,
    &core::limit_range::DEF,
    &core::namespace::DEF,
    &core::node::DEF,
    &core::persistent_volume_claim::DEF,
    &core::persistent_volume::DEF,
    &core::pod::DEF,
    &core::pod_template::DEF,
    &core::replication_controller::DEF,
    &core::resource_quota::DEF,
    &core::secret::DEF,
    &core::service_account::DEF,
    &core::service::DEF,
    &apiregistration::api_service::DEF,
    &apps::controller_revision::DEF,
    &apps::daemon_set::DEF,
    &apps::deployment::DEF,
    &apps::replica_set::DEF,
    &apps::stateful_set::DEF,
    &events::event::DEF,
    &authentication::self_subject_review::DEF,
    &authentication::token_review::DEF,
    &authorization::local_subject_access_review::DEF,
    &authorization::self_subject_access_review::DEF,
    &authorization::self_subject_rules_review::DEF,
    &authorization::subject_access_review::DEF,
    &autoscaling::horizontal_pod_autoscaler::DEF,
    &batch::cron_job::DEF,
    &batch::job::DEF,
    &certificates::certificate_signing_request::DEF,
    &certificates::cluster_trust_bundle::DEF,
    &certificates::pod_certificate_request::DEF,
    &networking::ingress_class::DEF,
    &networking::ingress::DEF,
    &networking::ip_address::DEF,
    &networking::network_policy::DEF,
    &networking::service_cidr::DEF,
    &policy::pod_disruption_budget::DEF,
    &rbac::cluster_role_binding::DEF,
    &rbac::cluster_role::DEF,
    &rbac::role_binding::DEF,
    &rbac::role::DEF,
    &storage::csi_driver::DEF,
    &storage::csi_node::DEF,
    &storage::csi_storage_capacity::DEF,
    &storage::storage_class::DEF,
    &storage::volume_attachment::DEF,
    &storage::volume_attributes_class::DEF,
    &admissionregistration::mutating_admission_policy::DEF,
    &admissionregistration::mutating_admission_policy_binding::DEF,
    &admissionregistration::mutating_webhook_configuration::DEF,
    &admissionregistration::validating_admission_policy::DEF,
    &admissionregistration::validating_admission_policy_binding::DEF,
    &admissionregistration::validating_webhook_configuration::DEF,
    &apiextensions::custom_resource_definition::DEF,
    &scheduling::pod_group::DEF,
    &scheduling::priority_class::DEF,
    &scheduling::workload::DEF,
    &coordination::lease_candidate::DEF,
    &coordination::lease::DEF,
    &node::runtime_class::DEF,
    &discovery::endpoint_slice::DEF,
    &resource_k8s_io::device_class::DEF,
    &resource_k8s_io::device_taint_rule::DEF,
    &resource_k8s_io::resource_claim::DEF,
    &resource_k8s_io::resource_claim_template::DEF,
    &resource_k8s_io::resource_pool_status_request::DEF,
    &resource_k8s_io::resource_slice::DEF,
    &flowcontrol::flow_schema::DEF,
    &flowcontrol::priority_level_configuration::DEF,
    &apiserverinternal::storage_version::DEF,
    &storagemigration::storage_version_migration::DEF,
];

#[cfg(test)]
mod recorded_tests;
