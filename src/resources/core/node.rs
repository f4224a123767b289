//! Node: a machine that runs pods.

use crate::resources::{ResourceDef, Special, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["no"],
    subresources: &[
        Special::kind("proxy", "NodeProxyOptions", &["create", "delete", "get", "patch", "update"]),
        Subresource::Status,
    ],
    selectable: &["spec.unschedulable"],
    columns: super::node_columns::COLUMNS,
    ..ResourceDef::cluster("", "Node", "nodes", "node", &[Version::on("v1", "io.k8s.api.core.v1.Node")])
};
