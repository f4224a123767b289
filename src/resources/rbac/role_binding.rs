//! RoleBinding: grants a role within a namespace.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::namespaced(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        "rolebindings",
        "rolebinding",
        &[Version::on("v1", "io.k8s.api.rbac.v1.RoleBinding")],
    )
};
