//! Pod: containers that run together on one node.

use crate::object::tree::Tree;
use crate::resources::def::GET_PATCH_UPDATE;
use crate::resources::{ResourceDef, Rules, Special, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["po"],
    categories: &["all"],
    subresources: &[
        Special::kind("attach", "PodAttachOptions", &["create", "get"]),
        Special::kind("binding", "Binding", &["create"]),
        Special::own("ephemeralcontainers", GET_PATCH_UPDATE),
        Special::foreign("eviction", "policy", "v1", "Eviction", &["create"]),
        Special::kind("exec", "PodExecOptions", &["create", "get"]),
        Special::own("log", &["get"]),
        Special::kind("portforward", "PodPortForwardOptions", &["create", "get"]),
        Special::kind("proxy", "PodProxyOptions", &["create", "delete", "get", "patch", "update"]),
        Special::own("resize", GET_PATCH_UPDATE),
        Subresource::Status,
    ],
    selectable: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ],
    columns: super::pod_columns::COLUMNS,
    rules: &Pod,
    ..ResourceDef::namespaced("", "Pod", "pods", "pod", &[Version::on("v1", "io.k8s.api.core.v1.Pod")])
};

pub struct Pod;

impl Rules for Pod {
    fn row_conditions(&self, pod: &Tree) -> Vec<Tree> {
        super::pod_columns::row_conditions(pod)
    }
}
