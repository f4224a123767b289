//! What an update changed, as its schema sees it.

use super::props::Props;
use crate::object::tree::Tree;

/// The element of a list's old state that `item` was: only lists that are maps can tell.
pub fn correlated<'t>(item: &Tree, old: &'t Tree, schema: &Props) -> Option<&'t Tree> {
    if schema.list_type != "map" {
        return None;
    }
    let same = |other: &&Tree| schema.list_map_keys.iter().all(|key| item.get(key) == other.get(key));
    old.as_array()?.iter().find(same)
}

/// Whether `value` is what `old` was. The order of lists that are maps does not count; what the schema does not
/// describe counts as changed, as by upstream (`CorrelatedObject`).
pub fn is_unchanged(value: &Tree, old: &Tree, schema: &Props) -> bool {
    match (value, old) {
        (Tree::Object(new), Tree::Object(map)) => {
            let is_same = |key: &str, inner: &Tree| {
                let (before, child) = (map.get(key), schema.child(key));
                before.zip(child).is_some_and(|(before, child)| is_unchanged(inner, before, child))
            };
            new.len() == map.len() && new.iter().all(|(key, inner)| is_same(key, inner))
        }
        (Tree::Array(new), Tree::Array(list)) if schema.list_type == "map" => {
            let Some(items) = schema.items.as_deref() else { return new == list };
            let is_same = |item| correlated(item, old, schema).is_some_and(|before| is_unchanged(item, before, items));
            new.len() == list.len() && new.iter().all(is_same)
        }
        _ => value == old,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn keyed_lists_may_be_in_another_order_and_others_not() {
        let item = json!({"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer"}}});
        let list = |kind: &str| json!({"type": "array", "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": ["n"], "items": item});
        let schema = json!({"type": "object", "properties": {"map": list("map"), "plain": list("atomic")}});
        let schema = Props::read(&schema).unwrap();
        let (one, two) = (json!({"n": "a", "v": 1}), json!({"n": "b", "v": 2}));
        let (old, turned) = (json!([one, two]), json!([two, one]));
        let same = |name: &'static str, new: &Tree| is_unchanged(&json!({name: new}), &json!({name: old}), &schema);
        assert!(same("map", &turned) && same("plain", &old));
        assert!(!same("plain", &turned) && !same("map", &json!([one])));
        assert!(!same("map", &json!([two, {"n": "a", "v": 3}])) && !same("map", &json!([two, {"n": "c", "v": 1}])));
        assert!(!same("unknown", &old), "no schema says what it is");
    }
}
