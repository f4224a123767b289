//! The Targets column of a HorizontalPodAutoscaler: current and wished value of each metric.

use crate::object::tree::{Tree, TreePath};

pub fn targets(object: &Tree) -> String {
    let metrics = object.items("spec.metrics");
    if metrics.is_empty() {
        return "<none>".into();
    }
    let current = object.items("status.currentMetrics");
    let list: Vec<String> = metrics.iter().enumerate().map(|(at, spec)| target(spec, current.get(at))).collect();
    match list.len() {
        more if more > 2 => format!("{} + {} more...", list[..2].join(", "), more - 2),
        _ => list.join(", "),
    }
}

fn target(spec: &Tree, current: Option<&Tree>) -> String {
    let (source, named) = match spec.text("type") {
        "External" => ("external", false),
        "Object" => ("object", false),
        "Pods" => ("pods", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".into(),
    };
    let now = current.and_then(|status| status.get(source)).and_then(|status| status.get("current"));
    let wish = spec.get(source).and_then(|spec| spec.get("target"));
    let text = |tree: Option<&Tree>, field: &str| tree.and_then(|tree| tree.get(field)).map(plain);
    let unknown = || "<unknown>".to_owned();
    if named {
        let name = spec.get(source).map_or("", |spec| spec.text("name"));
        return match text(wish, "averageValue") {
            Some(wish) => format!("{name}: {}/{wish}", text(now, "averageValue").unwrap_or_else(unknown)),
            None => {
                let percent = |tree| text(tree, "averageUtilization").map(|percent| format!("{percent}%"));
                let wish = percent(wish).unwrap_or_else(|| "<auto>".into());
                format!("{name}: {}/{wish}", percent(now).unwrap_or_else(unknown))
            }
        };
    }
    match text(wish, "averageValue") {
        Some(wish) => {
            let average = if source == "pods" { "" } else { " (avg)" };
            format!("{}/{wish}{average}", text(now, "averageValue").unwrap_or_else(unknown))
        }
        None => format!("{}/{}", text(now, "value").unwrap_or_else(unknown), text(wish, "value").unwrap_or_default()),
    }
}

/// A quantity or number as text.
fn plain(value: &Tree) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
