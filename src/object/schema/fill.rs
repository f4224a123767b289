//! Absent fields that are not really absent: static defaults, and what Go writes even when empty.

use super::super::tree::{Map, Tree};
use super::decode::{is_empty, zero};
use super::types::{Empty, Field, Schema, Shape};

/// Puts in static defaults, then the fields that upstream writes even when they are empty.
///
/// Defaults reach into structs that are there, or always there, not into absent ones.
pub fn fill(tree: &mut Tree, schema: Schema<'_>) {
    complete::<true>(tree, schema);
}

/// Puts in only what upstream writes even when it is empty, as a conversion through its structs does.
pub fn fill_zeroes(tree: &mut Tree, schema: Schema<'_>) {
    complete::<false>(tree, schema);
}

fn complete<const DEFAULTS: bool>(tree: &mut Tree, schema: Schema<'_>) {
    match (schema.shape(), tree) {
        (Shape::Struct { fields, .. }, Tree::Object(map)) => {
            for field in fields {
                let default = field.default.as_deref().filter(|_| DEFAULTS);
                let is_filled = default.is_some() || matches!(field.empty, Empty::Always | Empty::Null);
                let is_shown = field.empty != Empty::Drop || !default.is_some_and(is_empty);
                if is_filled && is_shown && map.get(&*field.name).is_none_or(Tree::is_null) {
                    map.insert(field.name.clone().into(), filling(field, default, schema));
                }
            }
            complete_children::<DEFAULTS>(map, schema);
        }
        (Shape::Map { values, .. }, Tree::Object(map)) => {
            let values = schema.to(*values);
            if is_composite(values) {
                map.values_mut().for_each(|value| complete::<DEFAULTS>(value, values));
            }
        }
        (Shape::List { items, .. }, Tree::Array(list)) => {
            let items = schema.to(*items);
            if is_composite(items) {
                list.iter_mut().for_each(|item| complete::<DEFAULTS>(item, items));
            }
        }
        _ => (),
    }
}

/// An object of which nothing is given: only what upstream writes even when it is empty.
pub fn zeroes(schema: Schema<'_>) -> Tree {
    let Shape::Struct { fields, .. } = schema.shape() else { return zero(schema.types, schema.id) };
    let given = |field: &Field| match field.empty {
        Empty::Always => Some((field.name.clone(), zeroes(schema.to(field.node)))),
        Empty::Null => Some((field.name.clone(), Tree::Null)),
        Empty::Keep | Empty::Drop => None,
    };
    Tree::Object(fields.iter().filter_map(given).collect())
}

fn filling(field: &Field, default: Option<&Tree>, schema: Schema<'_>) -> Tree {
    match (default, field.empty) {
        (Some(default), _) => default.clone(),
        (None, Empty::Always) => zero(schema.types, field.node),
        _ => Tree::Null,
    }
}

fn complete_children<const DEFAULTS: bool>(map: &mut Map, schema: Schema<'_>) {
    for (name, value) in map.iter_mut().filter(|(_, value)| value.is_object() || value.is_array()) {
        if let Some(child) = schema.child(name) {
            complete::<DEFAULTS>(value, child);
        }
    }
}

fn is_composite(schema: Schema<'_>) -> bool {
    matches!(schema.shape(), Shape::Struct { .. } | Shape::Map { .. } | Shape::List { .. })
}

#[cfg(test)]
mod tests {
    use super::super::table::builtin;
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn what_go_always_writes_is_put_in_to_any_depth() {
        let mut tree = json!({"spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}]}]}}}});
        fill(&mut tree, builtin().kind("apps/v1", "Deployment").unwrap());
        assert_eq!(tree["spec"]["strategy"], json!({"type": "RollingUpdate"}));
        assert_eq!(tree["metadata"], json!({}));
        let container = &tree["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["resources"], json!({}));
        assert_eq!(container["ports"][0]["protocol"], "TCP");
        assert_eq!(tree["spec"]["replicas"], 1);
        assert!(container.get("image").is_none() && container.get("livenessProbe").is_none());
    }

    #[test]
    fn zeroes_are_no_defaults() {
        let mut tree = json!({"spec": {}});
        fill_zeroes(&mut tree, builtin().kind("autoscaling/v1", "HorizontalPodAutoscaler").unwrap());
        assert_eq!(tree["spec"], json!({"maxReplicas": 0, "scaleTargetRef": {"kind": "", "name": ""}}));
    }
}
