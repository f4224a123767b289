//! Resources of rbac.authorization.k8s.io.

pub mod cluster_role;
pub mod cluster_role_binding;
pub mod role;
pub mod role_binding;
mod rules;

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, at};
use crate::resources::defaults::{each, set_if_empty};
use crate::resources::names;

/// Names of a binding's subjects of one kind; service accounts with their namespaces.
fn subjects(object: &Tree, kind: &str) -> Tree {
    let named = |subject: &Tree| match kind {
        "ServiceAccount" => format!("{}/{}", subject.text("namespace"), subject.text("name")),
        _ => subject.text("name").to_owned(),
    };
    let subjects = object.items("subjects").iter().filter(|subject| subject.text("kind") == kind);
    subjects.map(named).collect::<Vec<_>>().join(", ").into()
}

const GROUP: &str = "rbac.authorization.k8s.io";

fn default_binding(binding: &mut Tree) {
    set_if_empty(binding, "roleRef.apiGroup", GROUP);
    each(binding, "subjects", |subject| {
        if matches!(subject.text("kind"), "User" | "Group") {
            set_if_empty(subject, "apiGroup", GROUP);
        }
    });
}

fn check_rules(rules: &At, is_namespaced: bool, errors: &mut FieldErrors) {
    for rule in rules.items() {
        let (verbs, urls) = (rule.child("verbs"), rule.child("nonResourceURLs"));
        if verbs.is_empty() {
            verbs.required(errors, "verbs must contain at least one value");
        }
        if !urls.is_empty() {
            if is_namespaced {
                urls.invalid(errors, "namespaced rules cannot apply to non-resource URLs");
            }
            if ["apiGroups", "resources", "resourceNames"].iter().any(|list| !rule.child(list).is_empty()) {
                urls.invalid(errors, "rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if rule.child("apiGroups").is_empty() {
            rule.child("apiGroups").required(errors, "resource rules must supply at least one api group");
        }
        if rule.child("resources").is_empty() {
            rule.child("resources").required(errors, "resource rules must supply at least one resource");
        }
    }
}

fn check_binding(binding: &Tree, old: Option<&Tree>, is_namespaced: bool, errors: &mut FieldErrors) {
    let role = At::root(binding).child("roleRef");
    let kinds: &[&str] = if is_namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if role.text("apiGroup") != GROUP {
        role.child("apiGroup").not_supported(errors, &[GROUP]);
    }
    if !kinds.contains(&role.text("kind")) {
        role.child("kind").not_supported(errors, kinds);
    }
    let name = role.child("name");
    if name.is_empty() {
        name.required(errors, "");
    } else {
        name.format(errors, names::path_segment(name.str(), false));
    }
    for subject in At::root(binding).child("subjects").items() {
        check_subject(&subject, is_namespaced, errors);
    }
    if old.is_some_and(|old| at(old, "roleRef") != role.value) {
        let text = |field: &str| role.text(field);
        let (group, kind, name) = (text("apiGroup"), text("kind"), text("name"));
        let shown = format!("{{\"APIGroup\":{group:?},\"Kind\":{kind:?},\"Name\":{name:?}}}");
        errors.invalid_shown("roleRef", &shown, "cannot change roleRef");
    }
}

fn check_subject(subject: &At, is_namespaced: bool, errors: &mut FieldErrors) {
    let (kind, name, group) = (subject.child("kind"), subject.child("name"), subject.child("apiGroup"));
    if name.is_empty() {
        name.required(errors, "");
    }
    match kind.str() {
        "ServiceAccount" => {
            if !name.is_empty() {
                name.format(errors, names::is_dns1123_subdomain(name.str()));
            }
            if !group.is_empty() {
                group.not_supported(errors, &[""]);
            }
            if !is_namespaced && subject.text("namespace").is_empty() {
                subject.child("namespace").required(errors, "");
            }
        }
        "User" | "Group" if group.str() != GROUP => group.not_supported(errors, &[GROUP]),
        "User" | "Group" => (),
        _ => kind.not_supported(errors, &["ServiceAccount", "User", "Group"]),
    }
}
