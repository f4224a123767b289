//! The roles and bindings that every cluster has from the start, and how they are kept.
//!
//! At start each is created if it is missing, and given the rules and subjects it lacks if it is
//! there; what administrators added stays. One annotated `autoupdate: "false"` is left alone.

use crate::object::tree::{from_tree, json};
use crate::object::{Key, Tree, TreePath};

use super::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Rule};

const POLICY: &str = include_str!("policy.txt");
const API_VERSION: &str = "rbac.authorization.k8s.io/v1";
const API_GROUP: &str = "rbac.authorization.k8s.io";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// Every bootstrap object with its key, roles before the bindings that refer to them.
pub fn objects() -> Vec<(Key, Tree)> {
    parse(POLICY)
}

/// What to write so that `stored` has everything `wanted` has; `None` if nothing.
///
/// `stored` is what the server has, or none. A binding whose role differs cannot be changed, only
/// replaced, which is not done here: it is somebody's choice.
pub fn reconcile(wanted: &Tree, stored: Option<&Tree>) -> Option<Tree> {
    let Some(stored) = stored else { return Some(wanted.clone()) };
    let annotation = |tree: &Tree| tree.map("metadata.annotations").and_then(|map| map.get(AUTOUPDATE).cloned());
    if annotation(stored) == Some(json!("false")) || stored.at("roleRef") != wanted.at("roleRef") {
        return None;
    }
    let mut merged = stored.clone();
    for map in ["metadata.labels", "metadata.annotations"] {
        for (key, value) in wanted.map(map).into_iter().flatten() {
            merged.set_default(map, json!({}));
            if let Some(here) = merged.at_mut(map).and_then(Tree::as_object_mut) {
                here.entry(key).or_insert(value.clone());
            }
        }
    }
    if let Some(aggregation) = wanted.at("aggregationRule") {
        merged.set_default("aggregationRule", aggregation.clone());
    } else {
        add_missing(&mut merged, "rules", wanted, |have, want| covers(have, want));
    }
    add_missing(&mut merged, "subjects", wanted, |have, want| have.contains(want));
    (merged != *stored).then_some(merged)
}

fn add_missing(merged: &mut Tree, list: &str, wanted: &Tree, has: impl Fn(&[Tree], &Tree) -> bool) {
    let lacking: Vec<Tree> = wanted.items(list).iter().filter(|want| !has(merged.items(list), want)).cloned().collect();
    if !lacking.is_empty() {
        let mut all = merged.items(list).to_vec();
        all.extend(lacking);
        merged.set(list, all);
    }
}

/// Whether the rules `have` together allow everything that `want` does.
fn covers(have: &[Tree], want: &Tree) -> bool {
    let rule = |tree: &Tree| from_tree::<Rule>(tree).unwrap_or_default();
    let have: Vec<Rule> = have.iter().map(rule).collect();
    rule(want).split().iter().all(|part| have.iter().any(|mine| mine.covers(part)))
}

/// Reads the policy's own syntax, which its head describes.
pub(in crate::api) fn parse(policy: &str) -> Vec<(Key, Tree)> {
    let mut objects: Vec<(Key, Tree)> = Vec::new();
    for line in policy.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => (),
            ["role", name, notes @ ..] => objects.push(role(name, notes)),
            ["bind", name, notes @ ..] => objects.push(binding(name, notes)),
            [verbs, groups, rest @ ..] => {
                let (_, role) = objects.last_mut().expect("a rule stands below its role");
                if !role.has("rules") {
                    role.set("rules", json!([]));
                }
                if let Some(rules) = role.at_mut("rules").and_then(Tree::as_array_mut) {
                    rules.push(rule(verbs, groups, rest));
                }
            }
            _ => panic!("the bootstrap policy has a line {line:?}"),
        }
    }
    objects
}

fn head(kind: &str, full_name: &str) -> (&'static str, String, String, Tree) {
    let (namespace, name) = full_name.split_once('/').unwrap_or(("", full_name));
    let (resource, kind) = match (kind, namespace) {
        ("role", "") => (CLUSTER_ROLES, "ClusterRole"),
        ("role", _) => (ROLES, "Role"),
        (_, "") => (CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding"),
        _ => (ROLE_BINDINGS, "RoleBinding"),
    };
    let mut tree = json!({
        "apiVersion": API_VERSION, "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {AUTOUPDATE: "true"},
        },
    });
    if !namespace.is_empty() {
        tree.set("metadata.namespace", namespace);
    }
    (resource, namespace.to_owned(), name.to_owned(), tree)
}

fn role(full_name: &str, notes: &[&str]) -> (Key, Tree) {
    let (resource, namespace, name, mut tree) = head("role", full_name);
    tree.set("rules", Tree::Null);
    for note in notes.chunks(2) {
        let label = format!("{AGGREGATE_TO}{}", note[1]);
        match note[0] {
            "into" => tree["metadata"]["labels"][label.as_str()] = "true".into(),
            _ => {
                tree.set("aggregationRule.clusterRoleSelectors", json!([{"matchLabels": {label: "true"}}]));
            }
        }
    }
    (Key::of(resource, &namespace, &name), tree)
}

fn rule(verbs: &str, groups: &str, rest: &[&str]) -> Tree {
    let list = |text: &str| -> Vec<String> {
        text.split(',').map(|word| if word == "core" { "" } else { word }.to_owned()).collect()
    };
    match (groups, rest) {
        ("-", paths) => json!({"verbs": list(verbs), "nonResourceURLs": list(paths[0])}),
        (_, [resources]) => json!({"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}),
        (_, [resources, names, ..]) => json!({
            "verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources), "resourceNames": list(names),
        }),
        (_, []) => panic!("a rule of the bootstrap policy has no resources"),
    }
}

fn binding(full_name: &str, notes: &[&str]) -> (Key, Tree) {
    let (resource, namespace, name, mut tree) = head("bind", full_name);
    let mut role = name.clone();
    let mut subjects = Vec::new();
    for note in notes.chunks(2) {
        match (note[0], note[1]) {
            ("role", other) => role = other.to_owned(),
            ("serviceaccount", account) => {
                let (namespace, name) = account.split_once('/').unwrap_or(("", account));
                subjects.push(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}));
            }
            (kind, name) => {
                let kind = if kind == "user" { "User" } else { "Group" };
                subjects.push(json!({"kind": kind, "apiGroup": API_GROUP, "name": name}));
            }
        }
    }
    let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
    tree.set("roleRef", json!({"apiGroup": API_GROUP, "kind": kind, "name": role}));
    if !subjects.is_empty() {
        tree.set("subjects", subjects);
    }
    (Key::of(resource, &namespace, &name), tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_added_and_what_was_added_stays() {
        let wanted = &parse("role r\n  get,list  core  pods")[0].1;
        assert_eq!(reconcile(wanted, None).as_ref(), Some(wanted));
        assert_eq!(reconcile(wanted, Some(wanted)), None);

        let mut trimmed = wanted.clone();
        trimmed.set("rules", json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["*"]}]));
        assert_eq!(reconcile(wanted, Some(&trimmed)).unwrap().items("rules").len(), 2);

        trimmed.set("metadata.annotations", json!({AUTOUPDATE: "false"}));
        assert_eq!(reconcile(wanted, Some(&trimmed)), None);
    }
}
