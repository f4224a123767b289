//! A resource as everything but its own file sees it: built in or custom, one shape.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::object::gvk::{Gvk, join_api_version};
use crate::object::key::GroupResource;
use crate::object::schema::{NodeId, Schema, Types};

use super::column::Columns;
use super::def::{ResourceDef, Rules, Scope, Subresource, Verbs};

/// Text of a built-in resource is borrowed, that of a custom one owned.
pub type Text = Cow<'static, str>;

#[derive(Debug)]
pub struct Resource {
    pub group: Text,
    pub kind: Text,
    pub list_kind: Text,
    /// The plural that paths use.
    pub plural: Text,
    pub singular: Text,
    pub short_names: Vec<Text>,
    pub categories: Vec<Text>,
    pub scope: Scope,
    /// Served versions, the preferred one first.
    pub versions: Vec<ResourceVersion>,
    pub verbs: Verbs,
    pub rules: RulesRef,
    /// From a CustomResourceDefinition.
    pub is_custom: bool,
    /// The `apiVersion` that objects are stored with.
    pub storage: Text,
    /// `plural.group`, as authorisation and messages name it.
    pub name: GroupResource,
    /// The resource under whose keys objects are stored: `name` but for `events.k8s.io`.
    pub stored_as: GroupResource,
}

/// What may differ between the versions of a resource.
#[derive(Debug)]
pub struct ResourceVersion {
    pub name: Text,
    pub schema: SchemaRef,
    pub subresources: Vec<Subresource>,
    pub columns: Columns,
    /// Fields that field selectors may name, besides `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Text>,
    /// What clients that use this version are warned of; empty if nothing.
    pub deprecation: String,
}

/// Where a version's schema is.
#[derive(Clone, Debug)]
pub enum SchemaRef {
    /// By name in the built-in table.
    Named(&'static str),
    /// A custom resource's own.
    Own(Arc<Types>, NodeId),
}

/// A resource's rules: a built-in's are static.
#[derive(Clone)]
pub enum RulesRef {
    Fixed(&'static dyn Rules),
    Shared(Arc<dyn Rules>),
}

impl Resource {
    /// A built-in resource with the versions that `serve` picks; `None` if it picks none.
    pub fn built_in(def: &'static ResourceDef, serve: impl Fn(&str, &super::Version) -> bool) -> Option<Self> {
        let version = |version: &super::Version| ResourceVersion {
            name: version.name.into(),
            schema: SchemaRef::Named(version.schema),
            subresources: def.subresources.to_vec(),
            columns: Columns::Fixed(def.columns),
            selectable: def.selectable.iter().map(|field| Text::from(*field)).collect(),
            deprecation: def.deprecation.into(),
        };
        let versions: Vec<_> = def.versions.iter().filter(|v| serve(def.group, v)).map(version).collect();
        let name = GroupResource::new(def.group, def.plural);
        let (storage, stored_as) = match def.stored_as {
            Some(other) => {
                (join_api_version(other.group, other.version), GroupResource::new(other.group, other.resource))
            }
            None => (join_api_version(def.group, def.storage), name.clone()),
        };
        (!versions.is_empty()).then(|| Self {
            group: def.group.into(),
            kind: def.kind.into(),
            list_kind: format!("{}List", def.kind).into(),
            plural: def.plural.into(),
            singular: def.singular.into(),
            short_names: def.short_names.iter().map(|name| Text::from(*name)).collect(),
            categories: def.categories.iter().map(|name| Text::from(*name)).collect(),
            scope: def.scope,
            versions,
            verbs: def.verbs,
            rules: RulesRef::Fixed(def.rules),
            is_custom: false,
            storage: storage.into(),
            name,
            stored_as,
        })
    }

    /// The served version of this name.
    pub fn version(&self, name: &str) -> Option<&ResourceVersion> {
        self.versions.iter().find(|version| version.name == name)
    }

    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    pub fn api_version(&self, version: &str) -> String {
        join_api_version(&self.group, version)
    }

    pub fn gvk(&self, version: &str) -> Gvk {
        Gvk { group: self.group.clone(), version: version.to_owned().into(), kind: self.kind.clone() }
    }

    /// What complaints about an object say it is: events are events of the core group to them.
    pub fn complaint_gvk(&self, version: &str) -> Gvk {
        Gvk { group: self.stored_as.group().to_owned().into(), ..self.gvk(version) }
    }

    pub fn list_gvk(&self, version: &str) -> Gvk {
        Gvk { kind: self.list_kind.clone(), ..self.gvk(version) }
    }
}

impl ResourceVersion {
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name() == name)
    }

    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    pub fn is_selectable(&self, field: &str) -> bool {
        matches!(field, "metadata.name" | "metadata.namespace") || self.selectable.iter().any(|known| known == field)
    }
}

impl SchemaRef {
    /// The schema itself; `None` if the built-in table has no such type.
    pub fn of<'a>(&'a self, built_in: &'a Types) -> Option<Schema<'a>> {
        match self {
            Self::Named(name) => built_in.named(name),
            Self::Own(types, id) => Some(Schema { types, id: *id }),
        }
    }
}

impl Deref for RulesRef {
    type Target = dyn Rules;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Fixed(rules) => *rules,
            Self::Shared(rules) => rules.as_ref(),
        }
    }
}

impl fmt::Debug for RulesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}
