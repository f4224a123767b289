//! Service: a name and an address for a set of pods.

use crate::resources::{ResourceDef, Special, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["svc"],
    categories: &["all"],
    subresources: &[
        Special::kind("proxy", "ServiceProxyOptions", &["create", "delete", "get", "patch", "update"]),
        Subresource::Status,
    ],
    selectable: &["spec.clusterIP", "spec.type"],
    columns: super::service_columns::COLUMNS,
    ..ResourceDef::namespaced("", "Service", "services", "service", &[Version::on("v1", "io.k8s.api.core.v1.Service")])
};
