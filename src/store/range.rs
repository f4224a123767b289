//! The keys a reader is interested in: everything, a resource, a namespace of it, or one object.

use std::fmt;
use std::sync::Arc;

use crate::object::{GroupResource, Key};

/// A set of keys that share a prefix of whole parts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange(Arc<str>);

impl KeyRange {
    pub fn all() -> Self {
        Self("".into())
    }

    /// Every object of a resource.
    pub fn resource(resource: &GroupResource) -> Self {
        Self(resource.prefix().into())
    }

    /// The objects of a resource in one namespace.
    pub fn namespace(resource: &GroupResource, namespace: &str) -> Self {
        Self(resource.namespace_prefix(namespace).into())
    }

    /// One object, whether it exists or not.
    pub fn key(key: &Key) -> Self {
        Self(key.as_str().into())
    }

    pub fn contains(&self, key: &Key) -> bool {
        match self.is_one_key() {
            true => *self.0 == *key.as_str(),
            false => key.as_str().starts_with(&*self.0),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn is_one_key(&self) -> bool {
        !self.0.is_empty() && !self.0.ends_with('/')
    }
}

impl std::borrow::Borrow<str> for KeyRange {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.0)
    }
}

/// The text of every range that holds `key`, widest first.
pub(super) fn ranges_of(key: &Key) -> [&str; 4] {
    let text = key.as_str();
    let resource = key.resource().len() + 1;
    let namespace = resource + key.namespace().len() + 1;
    ["", &text[..resource], &text[..namespace], text]
}
