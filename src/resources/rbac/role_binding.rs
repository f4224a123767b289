//! RoleBinding: grants a role within a namespace.

use super::rules::BindingRules;
use super::subjects;
use crate::resources::cells::kind_and_name;
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::with("Role", |o| kind_and_name(o.get("roleRef")).into()),
        Column::AGE,
        Column::with("Users", |o| subjects(o, "User")).wide(),
        Column::with("Groups", |o| subjects(o, "Group")).wide(),
        Column::with("ServiceAccounts", |o| subjects(o, "ServiceAccount")).wide(),
    ],
    rules: &BindingRules { cluster: false },
    ..ResourceDef::namespaced(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        "rolebindings",
        "rolebinding",
        &[Version::on("v1", "io.k8s.api.rbac.v1.RoleBinding")],
    )
};
