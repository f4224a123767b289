//! JSON merge patch (RFC 7386): objects are merged, `null` removes, everything else replaces.

use crate::object::status::Status;
use crate::object::tree::{Map, Tree};

use super::{Patched, read_object};

pub fn apply(mut document: Tree, patch: &[u8]) -> Result<Patched, Status> {
    let patch = read_object(patch, |why| format!("error decoding patch: {why}"))?;
    merge(&mut document, patch.tree);
    Ok(Patched { tree: document, complaints: patch.complaints })
}

fn merge(target: &mut Tree, patch: Tree) {
    let Tree::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Tree::Object(Map::new());
    }
    let Tree::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Tree::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn maps_are_merged_nulls_remove_and_lists_are_replaced() {
        let document = json!({"a": {"b": 1, "c": 2}, "l": [1, 2], "s": "x"});
        let patched = apply(document, br#"{"a":{"b":null,"d":{"e":null,"f":1}},"l":[3],"s":{"t":1}}"#).unwrap();
        assert_eq!(patched.tree, json!({"a": {"c": 2, "d": {"f": 1}}, "l": [3], "s": {"t": 1}}));
    }

    #[test]
    fn a_patch_is_an_object() {
        let message = |patch: &[u8]| apply(json!({}), patch).unwrap_err().message;
        assert_eq!(
            message(b"[]"),
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
        assert_eq!(message(b"{"), "error decoding patch: unexpected end of JSON input");
    }
}
