//! A JSON tree with paths: the form in which an object is changed and checked.
//!
//! Every write makes, copies and walks trees, so they are made for that: maps are small sorted arrays,
//! and the names of fields that the program knows are not copied.

mod convert;
mod literal;
mod map;
mod name;
mod typed;

pub use serde_json::Number;

pub use crate::tree_literal as json;
pub use convert::{Step, ToTree};
pub use map::Map;
pub use name::Name;
pub use typed::{Mismatch, from_tree, to_tree};

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tree {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Tree>),
    Object(Map),
}

impl Tree {
    /// The value of a map's key, or the element of a list at a place.
    pub fn get(&self, step: impl Step) -> Option<&Self> {
        step.look(self)
    }

    pub fn get_mut(&mut self, step: impl Step) -> Option<&mut Self> {
        step.look_mut(self)
    }

    /// The value, with `null` left in its place.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    pub fn as_f64(&self) -> Option<f64> {
        self.as_number()?.as_f64()
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub fn as_array(&self) -> Option<&Vec<Self>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Self>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub fn as_object(&self) -> Option<&Map> {
        if let Self::Object(map) = self { Some(map) } else { None }
    }

    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        if let Self::Object(map) = self { Some(map) } else { None }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn is_boolean(&self) -> bool {
        matches!(self, Self::Bool(_))
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    pub fn is_i64(&self) -> bool {
        self.as_i64().is_some()
    }

    pub fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }
}

/// Reading and writing by dotted path. Keys that hold dots go through [`Tree::get`] instead.
pub trait TreePath {
    /// The value at `path`, such as `spec.template.metadata`; `None` where any step is missing.
    fn at(&self, path: &str) -> Option<&Tree>;
    fn at_mut(&mut self, path: &str) -> Option<&mut Tree>;
    /// Whether something other than `null` is at `path`.
    fn has(&self, path: &str) -> bool;
    /// The text at `path`, or `""`.
    fn text(&self, path: &str) -> &str;
    fn int(&self, path: &str) -> Option<i64>;
    fn flag(&self, path: &str) -> Option<bool>;
    /// The elements of the list at `path`; none where there is no list.
    fn items(&self, path: &str) -> &[Tree];
    /// The map at `path`, if one is there.
    fn map(&self, path: &str) -> Option<&Map>;
    /// Puts `value` at `path`, making the maps on the way; what was in the way is replaced.
    fn set(&mut self, path: &str, value: impl Into<Tree>) -> &mut Tree;
    /// As [`TreePath::set`], where nothing (or `null`) is yet.
    fn set_default(&mut self, path: &str, value: impl Into<Tree>);
    /// Takes away what is at `path`.
    fn unset(&mut self, path: &str) -> Option<Tree>;
}

impl TreePath for Tree {
    fn at(&self, path: &str) -> Option<&Tree> {
        let (mut here, mut rest) = (self, path);
        // Paths are short and read all the time: looking at each byte beats setting up a search.
        while let Some(dot) = rest.bytes().position(|byte| byte == b'.') {
            here = here.get(&rest[..dot])?;
            rest = &rest[dot + 1..];
        }
        here.get(rest)
    }

    fn at_mut(&mut self, path: &str) -> Option<&mut Tree> {
        path.split('.').try_fold(self, |tree, step| tree.get_mut(step))
    }

    fn has(&self, path: &str) -> bool {
        self.at(path).is_some_and(|value| !value.is_null())
    }

    fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Tree::as_str).unwrap_or_default()
    }

    fn int(&self, path: &str) -> Option<i64> {
        self.at(path).and_then(Tree::as_i64)
    }

    fn flag(&self, path: &str) -> Option<bool> {
        self.at(path).and_then(Tree::as_bool)
    }

    fn items(&self, path: &str) -> &[Tree] {
        self.at(path).and_then(Tree::as_array).map_or(&[], Vec::as_slice)
    }

    fn map(&self, path: &str) -> Option<&Map> {
        self.at(path).and_then(Tree::as_object)
    }

    fn set(&mut self, path: &str, value: impl Into<Tree>) -> &mut Tree {
        let mut here = self;
        for step in path.split('.') {
            here = step.make(here);
        }
        *here = value.into();
        here
    }

    fn set_default(&mut self, path: &str, value: impl Into<Tree>) {
        if !self.has(path) {
            self.set(path, value);
        }
    }

    fn unset(&mut self, path: &str) -> Option<Tree> {
        let (parent, last) = match path.rsplit_once('.') {
            Some((parent, last)) => (self.at_mut(parent)?, last),
            None => (self, path),
        };
        parent.as_object_mut()?.remove(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_makes_the_way_and_unset_takes_only_the_end() {
        let mut tree = Tree::Null;
        tree.set("spec.replicas", 3);
        tree.set_default("spec.replicas", 9);
        tree.set_default("spec.paused", true);
        assert_eq!(tree.int("spec.replicas"), Some(3));
        assert_eq!(tree.unset("spec.replicas"), Some(json!(3)));
        assert_eq!(tree, json!({"spec": {"paused": true}}));
        assert!(tree.items("spec.nothing").is_empty() && !tree.has("status"));
    }
}
