//! What others serve, added to our own discovery documents. Pure.

use std::collections::BTreeMap;

use crate::object::gvk::join_api_version;
use crate::object::tree::{Tree, TreePath, json};

use super::{Remote, Table};

/// Groups with their versions, the preferred one first; the most important group first.
fn groups(table: &Table) -> Vec<(&str, Vec<&Remote>)> {
    let mut groups: BTreeMap<&str, Vec<&Remote>> = BTreeMap::new();
    for remote in table.values() {
        groups.entry(&remote.group).or_default().push(remote);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.iter_mut().for_each(|(_, versions)| versions.sort_by_key(|remote| std::cmp::Reverse(remote.priority.1)));
    groups.sort_by_key(|(_, versions)| std::cmp::Reverse(versions.iter().map(|remote| remote.priority.0).max()));
    groups
}

/// `/apis`, with the groups of others behind ours.
pub fn with_groups(mut list: Tree, table: &Table) -> Tree {
    for (name, versions) in groups(table) {
        if let Some(present) = list.at_mut("groups").and_then(Tree::as_array_mut) {
            present.retain(|group| group.text("name") != name);
            present.push(describe(name, &versions));
        }
    }
    list
}

/// `/apis/GROUP` of a group that others serve.
pub fn group(name: &str, table: &Table) -> Option<Tree> {
    let (name, versions) = groups(table).into_iter().find(|(group, _)| *group == name)?;
    let mut described = describe(name, &versions);
    described.set("kind", "APIGroup");
    described.set("apiVersion", "v1");
    Some(described)
}

fn describe(name: &str, versions: &[&Remote]) -> Tree {
    let versions: Vec<Tree> = versions
        .iter()
        .map(|remote| json!({"groupVersion": join_api_version(name, &remote.version), "version": remote.version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

/// `/apis` in the aggregated form, with the groups of others behind ours.
pub fn with_aggregated(mut list: Tree, table: &Table) -> Tree {
    for (name, versions) in groups(table) {
        let version = |remote: &&Remote| {
            let freshness = if remote.is_available { "Current" } else { "Stale" };
            json!({"version": remote.version, "resources": remote.resources, "freshness": freshness})
        };
        let versions: Vec<Tree> = versions.iter().map(version).collect();
        if let Some(items) = list.at_mut("items").and_then(Tree::as_array_mut) {
            items.retain(|group| group.text("metadata.name") != name);
            items.push(json!({"metadata": {"name": name}, "versions": versions}));
        }
    }
    list
}

/// The resources of a legacy document, in the words of the aggregated form.
pub fn aggregated_resources(legacy: &Tree) -> Vec<Tree> {
    let (group, version) = legacy.text("groupVersion").split_once('/').unwrap_or(("", legacy.text("groupVersion")));
    let kind_of = |entry: &Tree| {
        let or = |own: &str, other: &str| if own.is_empty() { other.to_owned() } else { own.to_owned() };
        let (own_group, own_version) = (or(entry.text("group"), group), or(entry.text("version"), version));
        json!({"group": own_group, "version": own_version, "kind": entry.text("kind")})
    };
    let all = legacy.items("resources");
    let main = all.iter().filter(|entry| !entry.text("name").contains('/'));
    main.map(|entry| {
        let name = entry.text("name");
        let mut described = json!({
            "resource": name, "responseKind": kind_of(entry), "singularResource": entry.text("singularName"),
            "scope": if entry.flag("namespaced") == Some(true) { "Namespaced" } else { "Cluster" },
            "verbs": entry.items("verbs"),
        });
        for list in ["shortNames", "categories"] {
            if !entry.items(list).is_empty() {
                described.set(list, entry.items(list));
            }
        }
        let below = all.iter().filter_map(|sub| Some((sub, sub.text("name").strip_prefix(name)?.strip_prefix('/')?)));
        let below: Vec<Tree> = below
            .map(|(sub, name)| json!({"subresource": name, "responseKind": kind_of(sub), "verbs": sub.items("verbs")}))
            .collect();
        if !below.is_empty() {
            described.set("subresources", below);
        }
        described
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn table(rows: &[(&str, &str, i64, i64)]) -> Table {
        let remote = |(group, version, of_group, of_version): &(&str, &str, i64, i64)| Remote {
            group: (*group).into(),
            version: (*version).into(),
            priority: (*of_group, *of_version),
            ..Remote::default()
        };
        rows.iter().map(|row| ((row.0.into(), row.1.into()), Arc::new(remote(row)))).collect()
    }

    #[test]
    fn groups_of_others_come_behind_ours_by_their_priority() {
        let table = table(&[("a", "v1", 10, 1), ("a", "v2", 10, 5), ("b", "v1", 20, 1)]);
        let list = with_groups(json!({"groups": [{"name": "apps"}]}), &table);
        let names: Vec<&str> = list.items("groups").iter().map(|group| group.text("name")).collect();
        assert_eq!(names, ["apps", "b", "a"]);
        assert_eq!(group("a", &table).unwrap().text("preferredVersion.version"), "v2");
    }

    #[test]
    fn legacy_documents_tell_of_subresources_too() {
        let legacy = json!({"groupVersion": "wardle/v1", "resources": [
            {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"]},
            {"name": "flunders/status", "namespaced": true, "kind": "Flunder", "verbs": ["patch"]},
        ]});
        assert_eq!(
            aggregated_resources(&legacy),
            [json!({
                "resource": "flunders", "singularResource": "flunder", "scope": "Namespaced", "verbs": ["get"],
                "responseKind": {"group": "wardle", "version": "v1", "kind": "Flunder"},
                "subresources": [{
                    "subresource": "status", "verbs": ["patch"],
                    "responseKind": {"group": "wardle", "version": "v1", "kind": "Flunder"},
                }],
            })]
        );
    }
}
