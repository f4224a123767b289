//! What a resource is, as its file declares it: data, and the rules that its schema cannot say.

use crate::object::field::FieldErrors;
use crate::object::tree::Tree;

use super::column::Column;

/// A built-in resource, as its file declares it. See [`super::resource::Resource`] for the form in
/// which built-in and custom resources are the same.
pub struct ResourceDef {
    pub group: &'static str,
    pub kind: &'static str,
    /// The plural that paths use.
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub scope: Scope,
    /// Known versions, the preferred one first.
    pub versions: &'static [Version],
    /// The version that objects are stored in.
    pub storage: &'static str,
    /// The resource (`plural.group`) under whose keys, and `apiVersion` in which, objects are
    /// stored, where that is another one: both kinds of Event are one.
    pub stored_as: Option<StoredAs>,
    pub verbs: Verbs,
    pub subresources: &'static [Subresource],
    pub columns: &'static [Column],
    /// Fields that field selectors may name, besides `metadata.name` and `metadata.namespace`.
    pub selectable: &'static [&'static str],
    pub rules: &'static dyn Rules,
    /// What everybody who uses it is warned of; empty if nothing.
    pub deprecation: &'static str,
}

impl ResourceDef {
    /// A stored, namespaced resource with the columns that upstream gives to those without any.
    pub const fn namespaced(
        group: &'static str,
        kind: &'static str,
        plural: &'static str,
        singular: &'static str,
        versions: &'static [Version],
    ) -> Self {
        Self {
            group,
            kind,
            plural,
            singular,
            short_names: &[],
            categories: &[],
            scope: Scope::Namespaced,
            versions,
            storage: versions[0].name,
            stored_as: None,
            verbs: Verbs::All,
            subresources: &[],
            columns: Column::UNKNOWN,
            selectable: &[],
            rules: &NoRules,
            deprecation: "",
        }
    }

    /// As [`ResourceDef::namespaced`], outside of namespaces.
    pub const fn cluster(
        group: &'static str,
        kind: &'static str,
        plural: &'static str,
        singular: &'static str,
        versions: &'static [Version],
    ) -> Self {
        Self { scope: Scope::Cluster, ..Self::namespaced(group, kind, plural, singular, versions) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredAs {
    pub group: &'static str,
    pub resource: &'static str,
    pub version: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub name: &'static str,
    /// The type's name in the schema table.
    pub schema: &'static str,
    /// Served unless asked otherwise. Upstream leaves alpha and beta versions off.
    pub on: bool,
}

impl Version {
    pub const fn on(name: &'static str, schema: &'static str) -> Self {
        Self { name, schema, on: true }
    }

    pub const fn off(name: &'static str, schema: &'static str) -> Self {
        Self { name, schema, on: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespaced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbs {
    /// Stored, with every verb.
    All,
    /// Stored; a collection cannot be deleted at once (namespaces).
    NoDeleteCollection,
    /// Worked out on each read (component statuses).
    ReadOnly,
    /// Answered on the spot and never stored (reviews, bindings).
    CreateOnly,
    /// As `All`, in the order that upstream lists a custom resource's.
    Custom,
    /// A custom resource whose definition is being deleted.
    CustomTerminating,
}

impl Verbs {
    /// In the order that discovery lists them.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::All => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            Self::NoDeleteCollection => &["create", "delete", "get", "list", "patch", "update", "watch"],
            Self::ReadOnly => &["get", "list"],
            Self::CreateOnly => &["create"],
            Self::Custom => &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
            Self::CustomTerminating => &["delete", "deletecollection", "get", "list", "watch"],
        }
    }

    /// Whether requests of the verb are taken at all. What a custom resource has left when its definition goes
    /// away can still be changed, or nobody could take its finalizers off; discovery does not tell.
    pub fn allows(self, verb: &str) -> bool {
        match self {
            Self::CustomTerminating => Self::Custom.allows(verb),
            _ => self.names().contains(&verb),
        }
    }

    pub fn is_stored(self) -> bool {
        !matches!(self, Self::ReadOnly | Self::CreateOnly)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subresource {
    Status,
    Scale(ScalePaths),
    /// One with a handler of its own in `api::subresources`.
    Special(Special),
}

impl Subresource {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale(_) => "scale",
            Self::Special(special) => special.name,
        }
    }

    pub fn verbs(&self) -> &'static [&'static str] {
        match self {
            Self::Status | Self::Scale(_) => GET_PATCH_UPDATE,
            Self::Special(special) => special.verbs,
        }
    }
}

pub const GET_PATCH_UPDATE: &[&str] = &["get", "patch", "update"];

/// A subresource as discovery shows it. An empty `kind` is the resource's own; an empty `version`
/// the version that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    pub name: &'static str,
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub verbs: &'static [&'static str],
}

impl Special {
    /// One that shows and changes the object itself.
    pub const fn own(name: &'static str, verbs: &'static [&'static str]) -> Subresource {
        Subresource::Special(Self { name, group: "", version: "", kind: "", verbs })
    }

    /// One with a kind of the resource's group and version.
    pub const fn kind(name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
        Subresource::Special(Self { name, group: "", version: "", kind, verbs })
    }

    /// One with a kind of another group.
    pub const fn foreign(
        name: &'static str,
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        verbs: &'static [&'static str],
    ) -> Subresource {
        Subresource::Special(Self { name, group, version, kind, verbs })
    }
}

/// Where a scalable object keeps its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub replicas: std::borrow::Cow<'static, str>,
    pub status_replicas: std::borrow::Cow<'static, str>,
    /// A selector string, a `LabelSelector` or a map of labels; empty where there is none.
    pub selector: std::borrow::Cow<'static, str>,
}

impl ScalePaths {
    /// Where upstream's own workloads keep them.
    pub const WORKLOAD: Self = Self {
        replicas: std::borrow::Cow::Borrowed("spec.replicas"),
        status_replicas: std::borrow::Cow::Borrowed("status.replicas"),
        selector: std::borrow::Cow::Borrowed("spec.selector"),
    };
}

/// What a resource's schema cannot say. Every method has a sensible default.
///
/// Trees are in the storage version. `old` is the stored object on updates. Order of a write:
/// decode and static defaults (schema) → [`Rules::default`] → `prepare_*` → admission →
/// structural validation (schema) → `validate*`.
#[allow(unused_variables)]
pub trait Rules: Send + Sync + 'static {
    /// Defaults that depend on other fields.
    fn default(&self, new: &mut Tree) {}

    /// What a create may not choose: clears status, sets generation and the like. The pipeline has
    /// already set metadata and, where a status subresource exists, removed `status`.
    fn prepare_create(&self, new: &mut Tree) {}

    /// What an update may not touch. The pipeline has already put back `status` (or, for a status
    /// update, everything else) and keeps `metadata.generation` by comparing `spec`.
    fn prepare_update(&self, new: &mut Tree, old: &Tree) {}

    fn prepare_status(&self, new: &mut Tree, old: &Tree) {}

    /// What a write through one of the special subresources that show the object itself (`resize`,
    /// `ephemeralcontainers`, `approval`, `finalize`) may change.
    fn prepare_subresource(&self, subresource: &str, new: &mut Tree, old: &Tree) {}

    /// What becomes of a created object on its way through the store, after it was checked.
    fn settle(&self, new: &mut Tree) {}

    /// Complaints about a created (`old` is none) or updated object, in upstream's order. Metadata is
    /// checked by [`super::meta`], before this.
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {}

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {}

    /// As `validate`, for a write through the special subresource.
    fn validate_subresource(&self, subresource: &str, new: &Tree, old: &Tree, errors: &mut FieldErrors) {}

    /// Warnings for the client about a valid object.
    fn warnings(&self, new: &Tree, old: Option<&Tree>) -> Vec<String> {
        Vec::new()
    }

    /// Whether `metadata.name` is acceptable; the default is a DNS-1123 subdomain.
    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        crate::resources::names::dns1123_subdomain(name, is_prefix)
    }

    /// Whether the kind has `metadata.generation` (it rises with each change of the spec).
    fn has_generation(&self) -> bool {
        false
    }

    /// Whether `new` differs from `old` in what generation counts; the default compares `spec`.
    fn bumps_generation(&self, new: &Tree, old: &Tree) -> bool {
        new.get("spec") != old.get("spec")
    }

    /// A create may come with a status, although there is a status subresource.
    fn keeps_status(&self) -> bool {
        false
    }

    /// PUT creates what is not there.
    fn create_on_update(&self) -> bool {
        false
    }

    /// PUT without a resourceVersion is accepted.
    fn unconditional_update(&self) -> bool {
        true
    }

    /// How long a delete gives the object, of what the client asks for (if it does).
    fn grace_period_seconds(&self, object: &Tree, asked: Option<i64>) -> i64 {
        0
    }

    /// A selectable field's value where it is not simply what is `at` its path.
    fn selectable_value(&self, at: &dyn Fn(&str) -> Option<Tree>, field: &str) -> Option<String> {
        None
    }

    /// Conditions of the object's row in a Table (a finished pod has one).
    fn row_conditions(&self, object: &Tree) -> Vec<Tree> {
        Vec::new()
    }

    /// Turns a stored tree into another served version, or one of that into the storage version.
    /// Both are apiVersions, such as `autoscaling/v2`. `apiVersion` is set by the caller.
    fn convert(&self, tree: Tree, from: &str, to: &str) -> Tree {
        tree
    }

    /// These rules as those of a custom resource, if that is what they are.
    fn custom(&self) -> Option<&super::custom::CustomRules> {
        None
    }
}

/// For resources whose schema says everything.
pub struct NoRules;

impl Rules for NoRules {}
