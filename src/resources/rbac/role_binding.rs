//! RoleBinding: grants a role within a namespace.

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
    rules: &BindingRules { cluster: false },
    ..ResourceDef::namespaced(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        "rolebindings",
        "rolebinding",
        &[Version::on("v1", "io.k8s.api.rbac.v1.RoleBinding")],
    )
};

pub struct RoleBinding;

impl Rules for RoleBinding {
    fn default(&self, new: &mut Tree) {
        default_binding(new);
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_binding(new, old, true, errors);
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        let _ = is_prefix; // upstream looks at a prefix as if it were the whole name
        names::path_segment(name, false)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}
