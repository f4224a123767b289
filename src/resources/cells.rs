//! What several resources' columns share: containers, selectors, labels, ages.

use crate::object::time::{Timestamp, human_duration};
use crate::object::tree::{Map, Tree, TreePath};

use super::column::Column;

/// Names, images and selector of a workload with a pod template, shown when wide.
pub const CONTAINERS: Column = Column::with("Containers", |o| container_list(o, TEMPLATE, "name")).wide();
pub const IMAGES: Column = Column::with("Images", |o| container_list(o, TEMPLATE, "image")).wide();
pub const SELECTOR: Column = Column::with("Selector", |o| selector(o.at("spec.selector")).into()).wide();

const TEMPLATE: &str = "spec.template.spec.containers";

/// One field of every container at `path`, comma separated.
pub fn container_list(object: &Tree, path: &str, field: &str) -> Tree {
    object.items(path).iter().map(|container| container.text(field)).collect::<Vec<_>>().join(",").into()
}

/// Labels as `k=v,k=v`, or `<none>`.
pub fn labels(map: Option<&Tree>) -> String {
    let Some(map) = map.and_then(Tree::as_object).filter(|map| !map.is_empty()) else { return "<none>".into() };
    pairs(map).join(",")
}

fn pairs(map: &Map) -> Vec<String> {
    map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect()
}

/// A `LabelSelector` as `kubectl -l` takes it; `<none>` if it selects everything or nothing.
pub fn selector(selector: Option<&Tree>) -> String {
    let text = selector_text(selector);
    if text.is_empty() { "<none>".into() } else { text }
}

/// As [`selector`], empty instead of `<none>`. Requirements are in the order of their keys.
pub fn selector_text(selector: Option<&Tree>) -> String {
    let Some(selector) = selector else { return String::new() };
    let mut parts: Vec<(String, String)> = Vec::new();
    if let Some(labels) = selector.map("matchLabels") {
        parts.extend(labels.keys().map(ToString::to_string).zip(pairs(labels)));
    }
    for requirement in selector.items("matchExpressions") {
        let key = requirement.text("key");
        let mut values: Vec<&str> = requirement.items("values").iter().filter_map(Tree::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match requirement.text("operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".into(),
        };
        parts.push((key.to_owned(), text));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

/// How long ago the time at `path` was.
pub fn age(object: &Tree, path: &str, now: Timestamp) -> String {
    match Timestamp::parse(object.text(path)) {
        Some(time) => human_duration(now.secs_since(time)),
        None => "<unknown>".into(),
    }
}

/// The first `max` entries, and how many more there are.
pub fn some_of(mut list: Vec<String>, max: usize) -> String {
    let count = list.len();
    list.truncate(max);
    let shown = list.join(",");
    match count {
        more if more > max => format!("{shown} + {} more...", more - max),
        _ if shown.is_empty() => "<unset>".into(),
        _ => shown,
    }
}

/// `<kind>/<name>`, with the kind as it stands.
pub fn kind_and_name(reference: Option<&Tree>) -> String {
    reference.map(|r| format!("{}/{}", r.text("kind"), r.text("name"))).unwrap_or_default()
}

/// The condition of this type, if the object has it.
pub fn condition<'t>(object: &'t Tree, kind: &str) -> Option<&'t Tree> {
    object.items("status.conditions").iter().find(|condition| condition.text("type") == kind)
}

pub fn has_condition(object: &Tree, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition.text("status") == "True")
}

/// The text at `path`, or `other` where there is none.
pub fn text_or<'t>(object: &'t Tree, path: &str, other: &'t str) -> &'t str {
    Some(object.text(path)).filter(|text| !text.is_empty()).unwrap_or(other)
}
