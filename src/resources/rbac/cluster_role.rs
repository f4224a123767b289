//! ClusterRole: rules that can be granted anywhere.

use super::check_rules;
use super::rules::RoleRules;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::{ResourceDef, Rules, Version};
use crate::resources::{labels, names};

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

pub struct ClusterRole;

impl Rules for ClusterRole {
    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        check_rules(&At::root(new).child("rules"), false, errors);
        let selectors = At::root(new).child("aggregationRule.clusterRoleSelectors");
        if !new.has("aggregationRule") {
            return;
        }
        if selectors.is_empty() {
            selectors.required(errors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for selector in selectors.items() {
            let before = errors.0.len();
            labels::check_selector(&selector, errors);
            if errors.0.len() > before {
                errors.invalid(&*selector.path, Tree::Null, "invalid label selector.");
            }
        }
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        let _ = is_prefix; // upstream looks at a prefix as if it were the whole name
        names::path_segment(name, false)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}
