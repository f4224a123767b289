//! Who set which field: `metadata.managedFields`, kept in the version that the client speaks.

use super::Api;
use super::act::Act;
use super::update::Part;
use crate::api::encode;
use crate::object::Gvk;
use crate::object::patch::FieldManager;
use crate::object::patch::apply::{Set, Versions};
use crate::object::schema::{Schema, builtin, fill_zeroes};
use crate::object::tree::{Tree, TreePath};
use crate::resources::Resource;

/// The versions of one resource, as field managers see them.
pub(super) struct VersionsOf<'a> {
    pub resource: &'a Resource,
    /// The resource's own, or that of a subresource, which has one version and no conversion.
    pub kind: &'a str,
}

impl VersionsOf<'_> {
    fn is_foreign(&self) -> bool {
        self.kind != self.resource.kind
    }
}

impl Versions for VersionsOf<'_> {
    fn schema(&self, api_version: &str) -> Option<Schema<'_>> {
        let group_version = api_version.rsplit_once('/').map_or(api_version, |(_, version)| version);
        let own = self.resource.version(group_version);
        match own.filter(|_| !self.is_foreign() && self.resource.api_version(group_version) == api_version) {
            Some(version) => version.schema.of(builtin()),
            None => builtin().kind(api_version, self.kind),
        }
    }

    fn convert(&self, object: &Tree, from: &str, to: &str) -> Tree {
        if self.is_foreign() {
            return object.clone();
        }
        let mut converted = self.resource.rules.convert(object.clone(), from, to);
        converted.set("apiVersion", to);
        if let Some(schema) = self.schema(to) {
            fill_zeroes(&mut converted, schema);
        }
        converted
    }
}

impl Api {
    /// Records whose fields those of a created object are.
    pub(crate) fn track_fields(&self, act: &Act, new: &mut Tree) {
        if act.tracks_fields {
            self.track(act, Part::Main, None, new);
        }
    }

    /// Records whose fields those that differ from `old` are.
    pub(super) fn track_change(&self, act: &Act, part: Part, old: &Tree, new: &mut Tree) {
        if act.tracks_fields {
            self.track(act, part, Some(old), new);
            if act.call.target.subresource == "scale" {
                keep_scale_times(old, new);
            }
        }
    }

    /// Records that `manager` changed the status of `old` to `new`, both in the storage version.
    pub(crate) fn track_status(&self, resource: &Resource, manager: &str, old: &Tree, new: &mut Tree) {
        let kind = Gvk::of(new.text("apiVersion"), new.text("kind"));
        let versions = VersionsOf { resource, kind: &kind.kind };
        let reset = Set::of(&["spec"]);
        let fields =
            FieldManager { kind: &kind, subresource: "status", reset: &reset, versions: &versions, now: self.now() };
        *new = fields.update(Some(old), std::mem::take(new), manager);
    }

    fn track(&self, act: &Act, part: Part, old: Option<&Tree>, new: &mut Tree) {
        let gvk = Gvk::of(new.text("apiVersion"), new.text("kind"));
        let kind = if gvk.kind == act.resource.kind { act.gvk() } else { gvk };
        let versions = VersionsOf { resource: &act.resource, kind: &kind.kind };
        let reset = reset_fields(act, part);
        let fields = FieldManager {
            kind: &kind,
            subresource: &act.call.target.subresource,
            reset: &reset,
            versions: &versions,
            now: self.now(),
        };
        let manager = act.field_manager();
        if new.text("apiVersion") == kind.api_version() {
            *new = fields.update(old, std::mem::take(new), &manager);
            return;
        }
        let version = &act.version().name;
        let live = old.map(|old| encode::in_version(old, &act.resource, version));
        let tracked =
            fields.update(live.as_deref(), encode::in_version(new, &act.resource, version).into_owned(), &manager);
        match tracked.at("metadata.managedFields") {
            Some(entries) => drop(new.set("metadata.managedFields", entries.clone())),
            None => drop(new.unset("metadata.managedFields")),
        }
    }
}

/// Upstream's bookkeeping of a Scale knows no times of its own: an entry keeps the time that it had
/// in the object, and a new one has none.
fn keep_scale_times(old: &Tree, new: &mut Tree) {
    let same = |a: &Tree, b: &Tree| {
        ["manager", "operation", "apiVersion", "subresource"].iter().all(|field| a.get(field) == b.get(field))
    };
    let entries = new.at_mut("metadata.managedFields").and_then(Tree::as_array_mut);
    for entry in entries.into_iter().flatten().filter(|entry| entry.text("subresource") == "scale") {
        let before = old.items("metadata.managedFields").iter().find(|before| same(before, entry));
        match before.and_then(|before| before.get("time")) {
            Some(time) => drop(entry.set("time", time.clone())),
            None => drop(entry.unset("time")),
        }
    }
}

/// The fields that a write of this part does not set, whatever it sends.
pub(super) fn reset_fields(act: &Act, part: Part) -> Set {
    match (act.resource.name.as_str(), part) {
        ("pods", Part::Status) => Set::of(&["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]),
        ("deployments.apps", Part::Status) => Set::of(&["spec", "metadata.labels"]),
        ("certificatesigningrequests.certificates.k8s.io", Part::Main) => Set::of(&["spec", "status"]),
        (_, Part::Status) if act.resource.is_custom => Set::of(&["spec", "metadata"]),
        (_, Part::Status) | (_, Part::Special("approval")) => Set::of(&["spec"]),
        _ if act.version().has_status() => Set::of(&["status"]),
        _ => Set::default(),
    }
}
