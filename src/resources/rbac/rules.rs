//! What schemas cannot say of roles and bindings. Who may write them is decided in `api::authz`.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::def::Rules;
use crate::resources::{labels, names};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A Role, or with `cluster` a ClusterRole.
pub struct RoleRules {
    pub cluster: bool,
}

/// A RoleBinding, or with `cluster` a ClusterRoleBinding.
pub struct BindingRules {
    pub cluster: bool,
}

impl Rules for RoleRules {
    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        let role = At::root(new);
        for rule in role.child("rules").items() {
            self.check_rule(&rule, errors);
        }
        let aggregation = role.child("aggregationRule");
        let selectors = aggregation.child("clusterRoleSelectors");
        if aggregation.exists() && selectors.is_empty() {
            selectors.required(errors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for selector in selectors.items() {
            let before = errors.list.len();
            labels::check_selector(&selector, errors);
            if errors.list.len() > before {
                errors.invalid(&*selector.path, Tree::Null, "invalid label selector.");
            }
        }
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        names::path_segment(name, is_prefix)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

impl RoleRules {
    fn check_rule(&self, rule: &At<'_>, errors: &mut FieldErrors) {
        if rule.child("verbs").is_empty() {
            rule.child("verbs").required(errors, "verbs must contain at least one value");
        }
        let urls = rule.child("nonResourceURLs");
        let missing = |field: &str| rule.child(field).is_empty();
        if urls.is_empty() {
            for (field, what) in [("apiGroups", "api group"), ("resources", "resource")] {
                if missing(field) {
                    rule.child(field).required(errors, &format!("resource rules must supply at least one {what}"));
                }
            }
            return;
        }
        if !self.cluster {
            urls.invalid(errors, "namespaced rules cannot apply to non-resource URLs");
        }
        if !["apiGroups", "resources", "resourceNames"].into_iter().all(missing) {
            urls.invalid(errors, "rules cannot apply to both regular resources and non-resource URLs");
        }
    }
}

impl Rules for BindingRules {
    fn default(&self, new: &mut Tree) {
        new.set_default("roleRef.apiGroup", GROUP);
        if new.text("roleRef.apiGroup").is_empty() {
            new.set("roleRef.apiGroup", GROUP);
        }
        for subject in new.at_mut("subjects").and_then(Tree::as_array_mut).into_iter().flatten() {
            if matches!(subject.text("kind"), "User" | "Group") && subject.text("apiGroup").is_empty() {
                subject.set("apiGroup", GROUP);
            }
        }
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let role = At::root(new).child("roleRef");
        if role.text("apiGroup") != GROUP {
            role.child("apiGroup").not_supported(errors, &[GROUP]);
        }
        let kinds = if self.cluster { &["ClusterRole"][..] } else { &["Role", "ClusterRole"] };
        if !kinds.contains(&role.text("kind")) {
            role.child("kind").not_supported(errors, kinds);
        }
        let name = role.child("name");
        if name.is_empty() {
            name.required(errors, "");
        }
        for complaint in names::path_segment(name.str(), false) {
            name.invalid(errors, complaint);
        }
        for subject in At::root(new).child("subjects").items() {
            self.check_subject(&subject, errors);
        }
        if old.is_some_and(|old| old.at("roleRef") != new.at("roleRef")) {
            role.invalid(errors, "cannot change roleRef");
        }
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        names::path_segment(name, is_prefix)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

impl BindingRules {
    fn check_subject(&self, subject: &At<'_>, errors: &mut FieldErrors) {
        let (name, group) = (subject.child("name"), subject.child("apiGroup"));
        if name.is_empty() {
            name.required(errors, "");
        }
        match subject.text("kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    for complaint in names::dns1123_subdomain(name.str(), false) {
                        name.invalid(errors, complaint);
                    }
                }
                if !group.is_empty() {
                    group.not_supported(errors, &[""]);
                }
                if self.cluster && subject.child("namespace").is_empty() {
                    subject.child("namespace").required(errors, "");
                }
            }
            "User" | "Group" => {
                if group.str() != GROUP {
                    group.not_supported(errors, &[GROUP]);
                }
            }
            _ => subject.child("kind").not_supported(errors, &["ServiceAccount", "User", "Group"]),
        }
    }
}
