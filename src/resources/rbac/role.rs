//! Role: rules that can be granted within a namespace.

use super::rules::RoleRules;
use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    rules: &RoleRules { cluster: false },
    ..ResourceDef::namespaced(
        "rbac.authorization.k8s.io",
        "Role",
        "roles",
        "role",
        &[Version::on("v1", "io.k8s.api.rbac.v1.Role")],
    )
};
