//! ClusterRoleBinding: grants a cluster role everywhere.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::cluster(
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        "clusterrolebindings",
        "clusterrolebinding",
        &[Version::on("v1", "io.k8s.api.rbac.v1.ClusterRoleBinding")],
    )
};
