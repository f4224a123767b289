//! Objects as rows of a `meta.k8s.io` Table, which is what `kubectl get` prints.
//!
//! What the columns of built-in kinds say of themselves is data, `schemas/columns.txt`: a line has
//! the resource, the column and the words a client sees, or the field that says the same, tabs between them.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::object::time::{Timestamp, human_duration};
use crate::object::tree::{Tree, TreePath, json};

use super::cells;
use super::column::{Cell, Column, Columns, CustomColumn};
use super::jsonpath;
use super::resource::Resource;

/// Under which resource the columns stand that all have.
const ANY: &str = "*";

static ABOUT: LazyLock<HashMap<(&str, &str), String>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        let mut parts = line.splitn(3, '\t');
        let (resource, column, words) = (parts.next()?, parts.next()?, parts.next()?);
        Some(((resource, column), words.replace("\\n", "\n")))
    };
    include_str!(concat!(env!("OUT_DIR"), "/columns.txt")).lines().filter_map(line).collect()
});

/// `columnDefinitions` of a Table.
pub fn definitions(resource: &Resource, columns: &Columns) -> Tree {
    match columns {
        Columns::Fixed(columns) => {
            let key = format!("{}/{}", resource.group, resource.plural);
            columns.iter().filter(|column| column.announced).map(|column| definition(&key, column)).collect()
        }
        Columns::Custom(columns) => {
            std::iter::once(definition("", &Column::NAME)).chain(columns.iter().map(custom_definition)).collect()
        }
    }
}

fn definition(resource: &str, column: &Column) -> Tree {
    json!({
        "name": column.name, "type": column.kind, "format": column.format,
        "description": about(resource, column.name), "priority": column.priority,
    })
}

/// What a column says of itself.
pub fn about<'a>(resource: &'a str, column: &'a str) -> &'a str {
    let shared = if column == "Created At" { "Age" } else { column };
    ABOUT.get(&(resource, column)).or_else(|| ABOUT.get(&(ANY, shared))).map_or("", String::as_str)
}

fn custom_definition(column: &CustomColumn) -> Tree {
    let description = match column.description.as_str() {
        "" => format!("Custom resource definition column (in JSONPath format): {}", column.json_path),
        own => own.to_owned(),
    };
    json!({
        "name": column.name, "type": column.kind, "format": column.format,
        "description": description, "priority": column.priority,
    })
}

/// One row: `cells`, `conditions` if there are any, and `object` as given.
///
/// `tree` is what [`Columns`] asks for: the stored tree, or a custom resource's in its version.
pub fn row(resource: &Resource, columns: &Columns, tree: &Tree, object: Tree, now: Timestamp) -> Tree {
    let cells: Vec<Tree> = match columns {
        Columns::Fixed(columns) => columns.iter().map(|column| cell(column, tree, now)).collect(),
        Columns::Custom(columns) => std::iter::once(tree.text("metadata.name").into())
            .chain(columns.iter().map(|column| custom_cell(column, tree, now)))
            .collect(),
    };
    let mut row = json!({ "cells": cells, "object": object });
    let conditions = resource.rules.row_conditions(tree);
    if !conditions.is_empty() {
        row["conditions"] = conditions.into();
    }
    row
}

fn cell(column: &Column, object: &Tree, now: Timestamp) -> Tree {
    match column.cell {
        Cell::Path(path) => object.at(path).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| "".into()),
        Cell::PathOr(path, other) => object.at(path).filter(|value| !is_empty(value)).map_or(other.into(), shown),
        Cell::Number(path) => object.int(path).unwrap_or(0).into(),
        Cell::Count(path) => object.at(path).map_or(0, count).into(),
        Cell::Age(path) => cells::age(object, path, now).into(),
        Cell::With(make) => make(object),
        Cell::WithNow(make) => make(object, now),
    }
}

fn is_empty(value: &Tree) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// A value as text, which is what columns with an alternative text hold.
fn shown(value: &Tree) -> Tree {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).into()
}

fn count(value: &Tree) -> usize {
    match value {
        Tree::Array(items) => items.len(),
        Tree::Object(map) => map.len(),
        _ => 0,
    }
}

fn custom_cell(column: &CustomColumn, object: &Tree, now: Timestamp) -> Tree {
    let Some(value) = jsonpath::first(&column.json_path, object) else { return Tree::Null };
    let found = match column.kind.as_str() {
        "string" => Some(shown(&value)),
        "integer" => value.as_i64().or_else(|| value.as_f64().map(|n| n as i64)).map(Tree::from),
        "number" => value.as_f64().map(Tree::from),
        "boolean" => value.as_bool().map(Tree::from),
        "date" => value.as_str().map(|text| match Timestamp::parse(text) {
            Some(time) => human_duration(now.secs_since(time)).into(),
            None => "<invalid>".into(),
        }),
        _ => None,
    };
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Registry;

    fn cells_of(group: &str, plural: &str, object: Tree) -> Vec<Tree> {
        let resource = Registry::built_in().find_any(group, plural).expect("a served resource");
        let now = Timestamp::parse("2026-01-01T01:00:00Z").unwrap();
        let row = row(&resource, &resource.versions[0].columns, &object, Tree::Null, now);
        row.items("cells").to_vec()
    }

    #[test]
    fn unknown_kinds_show_name_and_time_of_creation() {
        let object = json!({"metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(
            cells_of("rbac.authorization.k8s.io", "clusterroles", object),
            [json!("r"), json!("2026-01-01T00:00:00Z")]
        );
    }

    #[test]
    fn a_deployment_shows_ready_of_wished_and_its_containers() {
        let object = json!({
            "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": [
                {"name": "a", "image": "x:1"}, {"name": "b", "image": "y"},
            ]}}},
            "status": {"readyReplicas": 1, "updatedReplicas": 2},
        });
        let cells = cells_of("apps", "deployments", object);
        assert_eq!(json!(cells), json!(["web", "1/3", 2, 0, "60m", "a,b", "x:1,y", "app=web"]));
    }

    #[test]
    fn a_crash_looping_pod_shows_why_and_how_often() {
        let object = json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:59:00Z"},
            "spec": {"containers": [{"name": "c"}], "nodeName": "n1"},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "c", "restartCount": 4, "ready": false,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2026-01-01T00:59:50Z"}},
            }]},
        });
        let cells = cells_of("", "pods", object);
        let shown = json!(["p", "0/1", "CrashLoopBackOff", "4 (10s ago)", "60s", "<none>", "n1", "<none>", "<none>"]);
        assert_eq!(json!(cells), shown);
    }
}
