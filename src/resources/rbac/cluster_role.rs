//! ClusterRole: rules that can be granted anywhere.

use super::rules::RoleRules;
use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    rules: &RoleRules { cluster: true },
    ..ResourceDef::cluster(
        "rbac.authorization.k8s.io",
        "ClusterRole",
        "clusterroles",
        "clusterrole",
        &[Version::on("v1", "io.k8s.api.rbac.v1.ClusterRole")],
    )
};
