//! What it takes to serve a resource: data, and the rules that its schema cannot say.

use crate::object::field::FieldErrors;
use crate::object::tree::Tree;

/// A built-in resource, as its file declares it.
pub struct ResourceDef {
    pub group: &'static str,
    pub kind: &'static str,
    /// The plural that paths use.
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub scope: Scope,
    /// Served versions, the preferred one first.
    pub versions: &'static [Version],
    /// The version that objects are stored in.
    pub storage: &'static str,
    pub verbs: Verbs,
    pub subresources: &'static [Subresource],
    pub columns: &'static [Column],
    /// Fields that field selectors may name, besides `metadata.name` and `metadata.namespace`.
    pub selectable: &'static [&'static str],
    pub rules: &'static dyn Rules,
}

pub struct Version {
    pub name: &'static str,
    /// The type's name in the schema table.
    pub schema: &'static str,
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
    /// Answered on the spot and never stored (reviews); create only.
    CreateOnly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    Status,
    Scale(ScalePaths),
    /// One with a handler of its own in `api::subresources`; `kind` and its group/version as
    /// discovery shows them.
    Special {
        name: &'static str,
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        verbs: &'static [&'static str],
    },
}

/// Where a scalable object keeps its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub replicas: &'static str,
    pub status_replicas: &'static str,
    /// A selector string or a `LabelSelector`.
    pub selector: &'static str,
}

/// A column of the Table form; `kubectl get` prints priority 0, `-o wide` the rest too.
pub struct Column {
    pub name: &'static str,
    /// OpenAPI type and format: `string`, `integer`, `date`, …, and `name` for the Name column.
    pub kind: &'static str,
    pub format: &'static str,
    pub priority: i32,
    pub cell: Cell,
}

/// How a cell's value is found.
pub enum Cell {
    /// What is at a dotted path.
    Path(&'static str),
    /// Age of the time at a dotted path, as `kubectl` shows ages.
    Age(&'static str),
    /// Worked out from the object; the time is now, in seconds since 1970.
    With(fn(&Tree, now_secs: i64) -> Tree),
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

    /// Complaints about a created (`old` is none) or updated object, in upstream's order.
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {}

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {}

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
        true
    }

    /// PUT creates what is not there.
    fn create_on_update(&self) -> bool {
        false
    }

    /// PUT without a resourceVersion is accepted.
    fn unconditional_update(&self) -> bool {
        true
    }

    /// How long a delete gives the object if the client does not say; 0 deletes at once.
    fn grace_period_seconds(&self, object: &Tree) -> i64 {
        0
    }

    /// A selectable field's value where it is not simply what is at its path.
    fn selectable_value(&self, object: &Tree, field: &str) -> Option<String> {
        None
    }

    /// Turns a stored tree into another served version, or one of that into the storage version.
    /// `apiVersion` is set by the caller.
    fn convert(&self, tree: Tree, from: &str, to: &str) -> Tree {
        tree
    }
}

/// For resources whose schema says everything.
pub struct NoRules;

impl Rules for NoRules {}
