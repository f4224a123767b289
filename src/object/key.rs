//! Names of resources and of the objects in them.
//!
//! A [`Key`] is how one object is found everywhere: in the store, in caches, in work queues. Its
//! text form `resource.group/namespace/name` sorts a kind's objects by namespace, then by name,
//! which is the order upstream lists them in. Cluster-scoped objects have an empty namespace.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A group and a resource in the plural, such as `deployments.apps`; core resources have no group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource(Arc<str>);

impl GroupResource {
    pub fn new(group: &str, resource: &str) -> Self {
        if group.is_empty() { Self(resource.into()) } else { Self([resource, ".", group].concat().into()) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn resource(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(resource, _)| resource)
    }

    pub fn group(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, group)| group)
    }

    /// The prefix shared by the keys of all objects of this resource, in every namespace.
    pub fn prefix(&self) -> String {
        [&*self.0, "/"].concat()
    }

    /// The prefix shared by the keys of this resource's objects in `namespace`.
    pub fn namespace_prefix(&self, namespace: &str) -> String {
        [&*self.0, "/", namespace, "/"].concat()
    }
}

/// Where an object is: resource, namespace and name. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    pub fn new(resource: &GroupResource, namespace: &str, name: &str) -> Self {
        Self::of(resource.as_str(), namespace, name)
    }

    /// The key of `name` in `resource`, which is given as `resource.group`.
    pub fn of(resource: &str, namespace: &str, name: &str) -> Self {
        debug_assert!(!resource.contains('/') && !namespace.contains('/') && !name.contains('/'));
        Self([resource, "/", namespace, "/", name].concat().into())
    }

    /// Reads a key back from its text form; `None` unless it has exactly three parts.
    pub fn parse(text: &str) -> Option<Self> {
        (text.matches('/').count() == 2).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn group_resource(&self) -> GroupResource {
        GroupResource(self.resource().into())
    }

    /// The resource with its group, such as `deployments.apps`.
    pub fn resource(&self) -> &str {
        self.part(0)
    }

    pub fn namespace(&self) -> &str {
        self.part(1)
    }

    pub fn name(&self) -> &str {
        self.part(2)
    }

    fn part(&self, index: usize) -> &str {
        self.0.splitn(3, '/').nth(index).unwrap_or_default()
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A version of the whole store, and of each object: the `resourceVersion` of the API.
///
/// Zero is before the first write. Revisions rise by one with each applied write and never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    pub const ZERO: Self = Self(0);

    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! show_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}
show_text!(GroupResource, Key);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_apart_into_what_made_them() {
        let key = Key::new(&GroupResource::new("apps", "deployments"), "default", "web");
        assert_eq!(key.as_str(), "deployments.apps/default/web");
        assert_eq!((key.resource(), key.namespace(), key.name()), ("deployments.apps", "default", "web"));
        assert_eq!(key.group_resource().group(), "apps");
        assert_eq!(Key::parse("nodes//n1").unwrap().name(), "n1");
        assert!(Key::parse("nodes/n1").is_none());
    }
}
