//! Statuses as upstream encodes them: most empty fields are left out.

use crate::object::tree::{Name, Tree};

/// Takes away the fields of `status` that hold nothing (null, zero, empty), except those in `always`.
pub fn sparse(status: Tree, always: &[&str]) -> Tree {
    let Tree::Object(fields) = status else { return status };
    let keep = |(name, value): &(Name, Tree)| always.contains(&name.as_str()) || !is_empty(value);
    Tree::Object(fields.into_iter().filter(keep).collect())
}

fn is_empty(value: &Tree) -> bool {
    match value {
        Tree::Null => true,
        Tree::Number(number) => number.as_i64() == Some(0),
        Tree::String(text) => text.is_empty(),
        Tree::Array(list) => list.is_empty(),
        Tree::Object(map) => map.is_empty(),
        Tree::Bool(flag) => !flag,
    }
}
