//! Small helpers for defaults.

use crate::object::tree::{Tree, TreePath};

/// Sets a text where none, or an empty one, is yet.
pub fn set_if_empty(tree: &mut Tree, path: &str, value: impl Into<Tree>) {
    if tree.text(path).is_empty() {
        tree.set(path, value);
    }
}

/// Does something to each element of the list at `path`.
pub fn each(tree: &mut Tree, path: &str, change: impl FnMut(&mut Tree)) {
    if let Some(Tree::Array(items)) = tree.at_mut(path) {
        items.iter_mut().for_each(change);
    }
}
