//! ClusterRoleBinding: grants a cluster role everywhere.

use super::rules::BindingRules;
use super::subjects;
use super::{check_binding, default_binding};
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::cells::kind_and_name;
use crate::resources::names;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::with("Role", |o| kind_and_name(o.get("roleRef")).into()),
        Column::AGE,
        Column::with("Users", |o| subjects(o, "User")).wide(),
        Column::with("Groups", |o| subjects(o, "Group")).wide(),
        Column::with("ServiceAccounts", |o| subjects(o, "ServiceAccount")).wide(),
    ],
    rules: &BindingRules { cluster: true },
    ..ResourceDef::cluster(
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        "clusterrolebindings",
        "clusterrolebinding",
        &[Version::on("v1", "io.k8s.api.rbac.v1.ClusterRoleBinding")],
    )
};

pub struct ClusterRoleBinding;

impl Rules for ClusterRoleBinding {
    fn default(&self, new: &mut Tree) {
        default_binding(new);
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_binding(new, old, false, errors);
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        let _ = is_prefix; // upstream looks at a prefix as if it were the whole name
        names::path_segment(name, false)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}
