//! Nobody gives away more than they have.
//!
//! Who writes a role must hold every permission in it, or be allowed to `escalate` that role; who
//! writes a binding must hold every permission of its role, or be allowed to `bind` it. Changes
//! that only let the garbage collector do its work pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rule::quoted;
use super::{Ask, Authz, CLUSTER_ROLES, MASTERS, ResourceRef, Rule};
use crate::object::{Status, Target, Tree, TreePath, User};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks a create (`old` is none) or an update of an RBAC object, in any of its versions; lets
/// everything else pass. `new` has its name already.
pub fn check_write(authz: &Authz, user: &User, target: &Target, new: &Tree, old: Option<&Tree>) -> Result<(), Status> {
    if target.group != GROUP || user.in_group(MASTERS) || old.is_some_and(|old| only_collects(new, old)) {
        return Ok(());
    }
    match target.resource.as_str() {
        "roles" | "clusterroles" => check_role(authz, user, target, new, old),
        "rolebindings" | "clusterrolebindings" => check_binding(authz, user, target, new),
        _ => Ok(()),
    }
}

fn check_role(authz: &Authz, user: &User, target: &Target, new: &Tree, old: Option<&Tree>) -> Result<(), Status> {
    if authz.decide(&Ask::resource(user, "escalate", ResourceRef { subresource: "", ..target.into() })).is_allowed() {
        return Ok(());
    }
    let forbidden = |why: String| Status::forbidden(&target.group_resource(), new.text("metadata.name"), why);
    let rules: Vec<Rule> = new.items("rules").iter().filter_map(|rule| Rule::deserialize_from(rule)).collect();
    confirm(authz, user, &target.namespace, &rules).map_err(forbidden)?;
    let aggregates = new.has("aggregationRule") || old.is_some_and(|old| old.has("aggregationRule"));
    if target.group_resource().as_str() == CLUSTER_ROLES && aggregates {
        let all = || vec!["*".to_owned()];
        let everything = [
            Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
            Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
        ];
        confirm(authz, user, "", &everything)
            .map_err(|_| forbidden("must have cluster-admin privileges to use the aggregationRule".into()))?;
    }
    Ok(())
}

fn check_binding(authz: &Authz, user: &User, target: &Target, new: &Tree) -> Result<(), Status> {
    let (kind, name) = (new.text("roleRef.kind"), new.text("roleRef.name"));
    let resource = match kind {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        // Validation has words for it.
        _ => return Ok(()),
    };
    let role = ResourceRef { group: GROUP, resource, namespace: &target.namespace, name, ..ResourceRef::default() };
    if authz.decide(&Ask::resource(user, "bind", role)).is_allowed() {
        return Ok(());
    }
    let Some(rules) = authz.rules_of_role(kind, &target.namespace, name) else {
        return Err(Status::not_found(&target.group_resource(), name));
    };
    let rules: Vec<Rule> = rules.iter().map(|rule| Rule::clone(rule)).collect();
    confirm(authz, user, &target.namespace, &rules)
        .map_err(|why| Status::forbidden(&target.group_resource(), new.text("metadata.name"), why))
}

/// Whether `user` holds all of `rules` in `namespace`; the error names those missing.
fn confirm(authz: &Authz, user: &User, namespace: &str, rules: &[Rule]) -> Result<(), String> {
    let held = authz.rules_of(user, namespace);
    let missing = missing(&held.rules, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = compact(missing).iter().map(Rule::to_string).collect();
    lines.sort();
    lines.dedup();
    let errors = match held.errors.as_slice() {
        [] => String::new(),
        errors => format!("; resolution errors: [{}]", errors.join(" ")),
    };
    Err(format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}{errors}",
        user.name,
        quoted(&user.groups),
        lines.join("\n"),
    ))
}

fn missing(held: &[Arc<Rule>], wanted: &[Rule]) -> Vec<Rule> {
    let parts = wanted.iter().flat_map(Rule::split);
    parts.filter(|part| !held.iter().any(|mine| mine.covers(part))).collect()
}

/// Joins rules that differ only in their verb.
fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut joined: BTreeMap<(Vec<String>, Vec<String>, Vec<String>), Vec<String>> = BTreeMap::new();
    let mut others = Vec::new();
    for rule in rules {
        if rule.non_resource_urls.is_empty() {
            joined.entry((rule.api_groups, rule.resources, rule.resource_names)).or_default().extend(rule.verbs);
        } else {
            others.push(rule);
        }
    }
    let joined = joined.into_iter().map(|((api_groups, resources, resource_names), verbs)| Rule {
        verbs,
        api_groups,
        resources,
        resource_names,
        non_resource_urls: Vec::new(),
    });
    others.into_iter().chain(joined).collect()
}

/// Whether `new` differs from `old` only in what the garbage collector changes.
fn only_collects(new: &Tree, old: &Tree) -> bool {
    let without = |tree: &Tree| {
        let mut tree = tree.clone();
        for field in ["finalizers", "ownerReferences", "managedFields", "resourceVersion"] {
            tree.unset(&format!("metadata.{field}"));
        }
        tree
    };
    without(new) == without(old)
}

impl Rule {
    fn deserialize_from(tree: &Tree) -> Option<Self> {
        serde::Deserialize::deserialize(tree).ok()
    }
}
