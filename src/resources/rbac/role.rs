//! Role: rules that can be granted within a namespace.

use super::check_rules;
use super::rules::RoleRules;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::names;
use crate::resources::{ResourceDef, Rules, Version};

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

pub struct Role;

impl Rules for Role {
    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        check_rules(&At::root(new).child("rules"), true, errors);
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        let _ = is_prefix; // upstream looks at a prefix as if it were the whole name
        names::path_segment(name, false)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}
