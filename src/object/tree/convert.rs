//! What becomes a tree, what a tree is compared with, and how it is indexed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::{Index, IndexMut};

use serde_json::Number;

use super::{Map, Name, Tree};
use crate::object::StringMap;

static MISSING: Tree = Tree::Null;

/// What can be written into [`json!`](super::json).
pub trait ToTree {
    fn to_tree(&self) -> Tree;
}

impl ToTree for Tree {
    fn to_tree(&self) -> Tree {
        self.clone()
    }
}

impl ToTree for Map {
    fn to_tree(&self) -> Tree {
        Tree::Object(self.clone())
    }
}

impl ToTree for StringMap {
    fn to_tree(&self) -> Tree {
        Tree::Object(self.iter().map(|(key, value)| (key.to_owned(), Tree::from(value))).collect())
    }
}

impl ToTree for str {
    fn to_tree(&self) -> Tree {
        Tree::String(self.to_owned())
    }
}

impl ToTree for String {
    fn to_tree(&self) -> Tree {
        Tree::String(self.clone())
    }
}

impl ToTree for Name {
    fn to_tree(&self) -> Tree {
        Tree::String(self.as_str().to_owned())
    }
}

impl ToTree for IpAddr {
    fn to_tree(&self) -> Tree {
        Tree::String(self.to_string())
    }
}

impl ToTree for Cow<'_, str> {
    fn to_tree(&self) -> Tree {
        Tree::String(self.as_ref().to_owned())
    }
}

impl<T: ToTree + ?Sized> ToTree for &T {
    fn to_tree(&self) -> Tree {
        (**self).to_tree()
    }
}

impl<T: ToTree + ?Sized> ToTree for Box<T> {
    fn to_tree(&self) -> Tree {
        (**self).to_tree()
    }
}

impl<T: ToTree + ?Sized> ToTree for std::sync::Arc<T> {
    fn to_tree(&self) -> Tree {
        (**self).to_tree()
    }
}

impl<T: ToTree> ToTree for Option<T> {
    fn to_tree(&self) -> Tree {
        self.as_ref().map_or(Tree::Null, T::to_tree)
    }
}

impl<T: ToTree> ToTree for [T] {
    fn to_tree(&self) -> Tree {
        Tree::Array(self.iter().map(T::to_tree).collect())
    }
}

impl<T: ToTree, const N: usize> ToTree for [T; N] {
    fn to_tree(&self) -> Tree {
        self.as_slice().to_tree()
    }
}

impl<T: ToTree> ToTree for Vec<T> {
    fn to_tree(&self) -> Tree {
        self.as_slice().to_tree()
    }
}

impl<T: ToTree> ToTree for BTreeSet<T> {
    fn to_tree(&self) -> Tree {
        Tree::Array(self.iter().map(T::to_tree).collect())
    }
}

impl<K: AsRef<str>, T: ToTree> ToTree for BTreeMap<K, T> {
    fn to_tree(&self) -> Tree {
        Tree::Object(self.iter().map(|(name, value)| (name.as_ref().to_owned(), value.to_tree())).collect())
    }
}

macro_rules! plain {
    ($($kind:ty),*) => {$(
        impl ToTree for $kind {
            fn to_tree(&self) -> Tree {
                (*self).into()
            }
        }
    )*};
}

macro_rules! whole_numbers {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Tree {
            fn from(number: $kind) -> Self {
                Self::Number(number.into())
            }
        }

        impl PartialEq<$kind> for Tree {
            fn eq(&self, other: &$kind) -> bool {
                matches!(self, Self::Number(number) if *number == Number::from(*other))
            }
        }

        impl PartialEq<Tree> for $kind {
            fn eq(&self, other: &Tree) -> bool {
                other == self
            }
        }
    )*};
}

whole_numbers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);
plain!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f64, bool);

impl From<f64> for Tree {
    /// What is no number is `null`.
    fn from(number: f64) -> Self {
        Number::from_f64(number).map_or(Self::Null, Self::Number)
    }
}

impl From<Number> for Tree {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Tree {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<()> for Tree {
    fn from((): ()) -> Self {
        Self::Null
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<&String> for Tree {
    fn from(text: &String) -> Self {
        Self::String(text.clone())
    }
}

impl From<Name> for Tree {
    fn from(name: Name) -> Self {
        Self::String(name.into_string())
    }
}

impl From<Cow<'_, str>> for Tree {
    fn from(text: Cow<'_, str>) -> Self {
        Self::String(text.into_owned())
    }
}

impl From<Map> for Tree {
    fn from(map: Map) -> Self {
        Self::Object(map)
    }
}

impl<T: Into<Tree>> From<Vec<T>> for Tree {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(T::into).collect())
    }
}

impl<T: Into<Tree> + Clone> From<&[T]> for Tree {
    fn from(items: &[T]) -> Self {
        Self::Array(items.iter().cloned().map(T::into).collect())
    }
}

impl<T: Into<Tree>, const N: usize> From<[T; N]> for Tree {
    fn from(items: [T; N]) -> Self {
        Self::Array(items.into_iter().map(T::into).collect())
    }
}

impl<T: Into<Tree>> From<Option<T>> for Tree {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, T::into)
    }
}

impl<T: Into<Tree>> FromIterator<T> for Tree {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(T::into).collect())
    }
}

impl<N: Into<Name>, T: Into<Tree>> FromIterator<(N, T)> for Tree {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(entries: I) -> Self {
        Self::Object(entries.into_iter().collect())
    }
}

impl From<serde_json::Value> for Tree {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Bool(flag),
            serde_json::Value::Number(number) => Self::Number(number),
            serde_json::Value::String(text) => Self::String(text),
            serde_json::Value::Array(items) => items.into(),
            serde_json::Value::Object(map) => Self::Object(map.into_iter().collect()),
        }
    }
}

impl PartialEq<str> for Tree {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Tree {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<String> for Tree {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<Tree> for str {
    fn eq(&self, other: &Tree) -> bool {
        other == self
    }
}

impl PartialEq<Tree> for &str {
    fn eq(&self, other: &Tree) -> bool {
        other == self
    }
}

impl PartialEq<bool> for Tree {
    fn eq(&self, other: &bool) -> bool {
        self.as_bool() == Some(*other)
    }
}

impl PartialEq<f64> for Tree {
    fn eq(&self, other: &f64) -> bool {
        self.as_f64() == Some(*other)
    }
}

/// A step into a tree: a name, or a place in a list.
pub trait Step {
    fn look<'t>(&self, tree: &'t Tree) -> Option<&'t Tree>;
    fn look_mut<'t>(&self, tree: &'t mut Tree) -> Option<&'t mut Tree>;
    /// Makes what is not there: what the step does not fit becomes a map or list that it fits.
    fn make<'t>(&self, tree: &'t mut Tree) -> &'t mut Tree;
}

impl Step for str {
    fn look<'t>(&self, tree: &'t Tree) -> Option<&'t Tree> {
        tree.as_object()?.get(self)
    }

    fn look_mut<'t>(&self, tree: &'t mut Tree) -> Option<&'t mut Tree> {
        tree.as_object_mut()?.get_mut(self)
    }

    fn make<'t>(&self, tree: &'t mut Tree) -> &'t mut Tree {
        match tree {
            Tree::Object(map) => map.get_or_insert_with(self.to_owned().into(), || Tree::Null),
            other => {
                *other = Tree::Object(Map::new());
                self.make(other)
            }
        }
    }
}

/// A name that is owned steps like its text.
macro_rules! steps_by_text {
    ($($kind:ty),*) => {$(
        impl Step for $kind {
            fn look<'t>(&self, tree: &'t Tree) -> Option<&'t Tree> {
                self.as_str().look(tree)
            }

            fn look_mut<'t>(&self, tree: &'t mut Tree) -> Option<&'t mut Tree> {
                self.as_str().look_mut(tree)
            }

            fn make<'t>(&self, tree: &'t mut Tree) -> &'t mut Tree {
                self.as_str().make(tree)
            }
        }
    )*};
}

steps_by_text!(String, Name);

impl Step for usize {
    fn look<'t>(&self, tree: &'t Tree) -> Option<&'t Tree> {
        tree.as_array()?.get(*self)
    }

    fn look_mut<'t>(&self, tree: &'t mut Tree) -> Option<&'t mut Tree> {
        tree.as_array_mut()?.get_mut(*self)
    }

    fn make<'t>(&self, tree: &'t mut Tree) -> &'t mut Tree {
        match tree {
            Tree::Array(items) => {
                if items.len() <= *self {
                    items.resize(self + 1, Tree::Null);
                }
                &mut items[*self]
            }
            other => {
                *other = Tree::Array(Vec::new());
                self.make(other)
            }
        }
    }
}

impl<T: Step + ?Sized> Step for &T {
    fn look<'t>(&self, tree: &'t Tree) -> Option<&'t Tree> {
        (**self).look(tree)
    }

    fn look_mut<'t>(&self, tree: &'t mut Tree) -> Option<&'t mut Tree> {
        (**self).look_mut(tree)
    }

    fn make<'t>(&self, tree: &'t mut Tree) -> &'t mut Tree {
        (**self).make(tree)
    }
}

impl<S: Step> Index<S> for Tree {
    type Output = Tree;

    /// `null` where nothing is.
    fn index(&self, step: S) -> &Tree {
        step.look(self).unwrap_or(&MISSING)
    }
}

impl<S: Step> IndexMut<S> for Tree {
    fn index_mut(&mut self, step: S) -> &mut Tree {
        step.make(self)
    }
}

impl fmt::Display for Tree {
    /// As compact JSON; with `#`, laid out over lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = if f.alternate() { serde_json::to_string_pretty(self) } else { serde_json::to_string(self) };
        f.write_str(&written.map_err(|_| fmt::Error)?)
    }
}
