//! Server-side apply, and who owns which fields after any other write.
//!
//! Every write goes through a [`FieldManager`]: [`FieldManager::update`] for creates, updates and
//! the other patches, [`FieldManager::apply`] for apply. Both are pure: live object, new object and
//! time in, object with its `managedFields` out. Objects are in the version of the request.

mod created;
mod entries;
mod last_applied;
mod set;
mod typed;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::object::Gvk;
use crate::object::schema::{Schema, zeroes};
use crate::object::status::{Cause, Details, Reason, Status};
use crate::object::time::Timestamp;
use crate::object::tree::{Map, Tree, TreePath};

use created::{Hidden, fields_of_created};
use entries::{Entry, Managed, Manager};
use typed::Place;
use walk::{Comparison, compare, fields_of, merge, remove};

pub use entries::keep_times;
pub use set::Set;

/// Fields that nobody owns.
const NOT_OWNED: &[&'static str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.clusterName",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
];
static NOT_OWNED_SET: LazyLock<Set> = LazyLock::new(|| Set::of(NOT_OWNED));
/// Who owned what was there before anybody applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
const KUBECTL: &str = "kubectl";

/// An object in the versions that its managers used.
pub trait Versions {
    /// The schema of a served version; `None` if it is no longer served.
    fn schema(&self, api_version: &str) -> Option<Schema<'_>>;
    /// The same object in another version.
    fn convert(&self, object: &Tree, from: &str, to: &str) -> Tree;
}

/// Keeps `managedFields` for writes to one endpoint of one resource.
pub struct FieldManager<'a> {
    pub kind: &'a Gvk,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Fields that this endpoint does not write, as `status` for the object itself.
    pub reset: &'a Set,
    pub versions: &'a dyn Versions,
    pub now: Timestamp,
}

/// An applied object that is not what the live one was, or that is.
#[derive(Debug, PartialEq)]
pub struct Applied {
    pub object: Tree,
    /// Nothing but ownership can have changed.
    pub is_same: bool,
}

impl FieldManager<'_> {
    /// Works out who owns what after `manager` has written `new` over `live` (`None`: created it).
    ///
    /// Entries that the client sent along count instead of the live ones, if they can be read.
    pub fn update(&self, live: Option<&Tree>, mut new: Tree, manager: &str) -> Tree {
        let Some(managed) = self.entries_for(live, &new) else {
            new.unset(entries::PATH);
            return new;
        };
        new.unset(entries::PATH);
        if managed.0.is_empty() {
            if live.is_none() {
                self.write_first(&mut new, manager);
            }
            return new; // of what was there, nobody has kept track so far
        }
        let empty = self.empty();
        let mut managed = self.updated(live.unwrap_or(&empty), &new, managed, manager);
        managed.cap();
        managed.write(&mut new);
        new
    }

    /// What [`Self::updated`] comes to where nothing was there.
    fn write_first(&self, new: &mut Tree, name: &str) {
        let version = self.kind.api_version();
        let Some(schema) = self.versions.schema(&version) else { return };
        let hidden = Hidden { whole: Some(self.reset), alone: Some(&NOT_OWNED_SET) };
        let fields = fields_of_created(new, &zeroes(schema), Place(Some(schema)), hidden);
        if !fields.is_empty() {
            let manager = Manager::new(name, false, &version, self.subresource);
            entries::write_first(new, &manager, &version, self.now, fields);
        }
    }

    /// The entries to start from; `None` if they are to be forgotten.
    fn entries_for(&self, live: Option<&Tree>, new: &Tree) -> Option<Managed> {
        let of_live = || live.and_then(Managed::of).unwrap_or_default();
        if !self.subresource.is_empty() {
            return Some(of_live());
        }
        if Managed::is_reset(new) {
            return live.is_none().then(Managed::default);
        }
        match Managed::of(new) {
            Some(managed) if !managed.0.is_empty() => Some(managed),
            _ => Some(of_live()),
        }
    }

    /// The entries after `name` has written `new` over `live`.
    fn updated(&self, live: &Tree, new: &Tree, managed: Managed, name: &str) -> Managed {
        let version = self.kind.api_version();
        let manager = Manager::new(name, false, &version, self.subresource);
        let outcome = self.settle(live, new, managed, None, true);
        let Ok((mut managed, changes)) = outcome else { return Managed::default() }; // forced: no conflicts
        let mine = changes.modified.union(changes.added).without(self.reset).difference(&NOT_OWNED_SET);
        if !mine.is_empty() {
            let before = managed.0.remove(&manager).map(|entry| entry.fields).unwrap_or_default();
            let entry = Entry { fields: mine.union(before), api_version: version, time: Some(self.now.to_string()) };
            managed.0.insert(manager, entry);
        }
        managed
    }

    /// Takes from all managers but `applier` what was changed or removed. Without `force`, taking
    /// a changed field from anybody is a conflict.
    fn settle(
        &self,
        live: &Tree,
        new: &Tree,
        managed: Managed,
        applier: Option<&Manager>,
        force: bool,
    ) -> Result<(Managed, Comparison), Conflicts> {
        let version = self.kind.api_version();
        let compared = |api_version: &str| {
            let schema = self.versions.schema(api_version)?;
            let (live, new) = (self.in_version(live, api_version), self.in_version(new, api_version));
            Some(compare(&live, &new, Place(Some(schema))).without(self.reset))
        };
        let mut comparisons: BTreeMap<String, Option<Comparison>> = BTreeMap::new();
        let mut kept = Managed::default();
        let mut conflicts = Conflicts::default();
        for (manager, mut entry) in managed.0 {
            if Some(&manager) == applier {
                kept.0.insert(manager, entry);
                continue;
            }
            let comparison = comparisons.entry(entry.api_version.clone());
            let Some(changes) = comparison.or_insert_with_key(|version| compared(version)) else {
                continue; // its version is gone, and so is the manager
            };
            let mut taken = entry.fields.intersection(&changes.modified);
            if !changes.added.is_empty() {
                taken = taken.union(entry.fields.intersection(&changes.added));
            }
            entry.fields = entry.fields.difference(&taken).difference(&changes.removed);
            if !taken.is_empty() {
                conflicts.0.push((manager.clone(), taken));
            }
            if !entry.fields.is_empty() {
                kept.0.insert(manager, entry);
            }
        }
        if !force && !conflicts.0.is_empty() {
            return Err(conflicts);
        }
        if let Some(applier) = applier
            && kept.0.get(applier).is_some_and(|entry| entry.fields.is_empty())
        {
            kept.0.remove(applier);
        }
        let mine = comparisons.remove(&version).flatten().or_else(|| compared(&version)).unwrap_or_default();
        Ok((kept, mine))
    }

    /// An object of the kind before anybody wrote to it.
    fn empty(&self) -> Tree {
        let schema = self.versions.schema(&self.kind.api_version());
        schema.map_or_else(|| Tree::Object(Map::new()), zeroes)
    }

    fn in_version<'t>(&self, object: &'t Tree, api_version: &str) -> Cow<'t, Tree> {
        let own = self.kind.api_version();
        match own == api_version {
            true => Cow::Borrowed(object),
            false => Cow::Owned(self.versions.convert(object, &own, api_version)),
        }
    }

    /// Applies `config` to `live` (`None`: nothing is there yet) as `name`.
    ///
    /// The object that comes out has yet to be decoded (for its canonical form) and defaulted.
    /// Fails with `Conflict` if others own fields that would change, unless `force`.
    pub fn apply(&self, live: Option<&Tree>, config: &Tree, name: &str, force: bool) -> Result<Applied, Status> {
        self.check(config)?;
        let Some(mut managed) = live.map_or_else(|| Some(Managed::default()), Managed::of) else {
            return Err(Status::new(Reason::Unknown, "failed to decode managed fields"));
        };
        let empty = self.empty();
        if managed.0.is_empty()
            && let Some(live) = live
        {
            managed = self.updated(&empty, live, managed, BEFORE_FIRST_APPLY);
        }
        let mut bare = live.unwrap_or(&empty).clone();
        bare.unset(entries::PATH);
        let place = self.typed(config)?;
        let outcome = match self.applied(&bare, config, place, managed.clone(), name, force) {
            Err(conflicts) if name == KUBECTL => {
                let conflicts =
                    conflicts.without(&last_applied::unchanged_since(&bare, &self.kind.api_version(), place));
                if conflicts.0.is_empty() {
                    self.applied(&bare, config, place, managed, name, true)
                } else {
                    Err(conflicts)
                }
            }
            outcome => outcome,
        };
        let (mut applied, managed) = outcome.map_err(Conflicts::into_status)?;
        if name == KUBECTL {
            last_applied::refresh(&mut applied.object, config);
        }
        managed.write(&mut applied.object);
        Ok(applied)
    }

    fn check(&self, config: &Tree) -> Result<(), Status> {
        let kind = Gvk::of(config.text("apiVersion"), config.text("kind"));
        if kind != *self.kind {
            let version = format!("{}/{}", kind.group, kind.version);
            return Err(Status::bad_request(format!("invalid object type: {version}, Kind={}", kind.kind)));
        }
        if config.has(entries::PATH) {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        Ok(())
    }

    /// The place of a config that fits its schema.
    fn typed<'s>(&'s self, config: &Tree) -> Result<Place<'s>, Status> {
        let place = Place(self.versions.schema(&self.kind.api_version()));
        let mut errors = Vec::new();
        place.validate(config, "", false, &mut errors);
        let told = match errors.as_slice() {
            [] => return Ok(place),
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let (namespace, name) = (config.text("metadata.namespace"), config.text("metadata.name"));
        let Gvk { group, version, kind } = self.kind;
        let what = format!("{namespace}/{name}; {group}/{version}, Kind={kind}");
        Err(Status::new(Reason::Unknown, format!("failed to create typed patch object ({what}): {told}")))
    }

    fn applied(
        &self,
        live: &Tree,
        config: &Tree,
        place: Place<'_>,
        mut managed: Managed,
        name: &str,
        force: bool,
    ) -> Result<(Applied, Managed), Conflicts> {
        let version = self.kind.api_version();
        let manager = Manager::new(name, true, &version, self.subresource);
        let last = managed.0.get(&manager).cloned();
        let fields = fields_of(config, place).without(self.reset);
        let time = last.as_ref().and_then(|last| last.time.clone());
        managed.0.insert(manager.clone(), Entry { fields, api_version: version, time });
        let merged = merge(live, config, place);
        let new = match last {
            Some(last) if !last.fields.is_empty() => self.prune(merged, &managed, &last),
            _ => merged,
        };
        let (mut managed, _) = self.settle(live, &new, managed, Some(&manager), force)?;
        if let Some(entry) = managed.0.get_mut(&manager) {
            entry.fields = std::mem::take(&mut entry.fields).difference(&NOT_OWNED_SET);
            if entry.fields.is_empty() {
                managed.0.remove(&manager);
            }
        }
        let is_same = new == *live;
        if !is_same && let Some(entry) = managed.0.get_mut(&manager) {
            entry.time = Some(self.now.to_string());
        }
        Ok((Applied { object: new, is_same }, managed))
    }

    /// Takes out of `merged` what the manager applied last time, but neither it nor anybody else
    /// owns now.
    fn prune(&self, merged: Tree, managed: &Managed, last: &Entry) -> Tree {
        let Some(schema) = self.versions.schema(&last.api_version) else { return merged };
        let place = Place(Some(schema));
        let merged = self.in_version(&merged, &last.api_version);
        let last_fields = last.fields.with_named_fields(place.0);
        let mut pruned = remove(&merged, &last_fields, place);
        let mut owned: BTreeMap<&str, Set> = BTreeMap::new();
        for entry in managed.0.values() {
            let fields = owned.entry(&entry.api_version).or_default();
            *fields = std::mem::take(fields).union(entry.fields.clone());
        }
        let own_first = owned.remove_entry(last.api_version.as_str());
        for (version, fields) in own_first.into_iter().chain(owned) {
            pruned = self.add_back_owned(&merged, pruned, &last.api_version, version, &fields);
        }
        // Things that the manager does not own are not its to take away.
        let (kept, all) = (fields_of(&pruned, place), fields_of(&merged, place));
        let gone = all.with_named_fields(place.0).difference(&kept.with_named_fields(place.0));
        let pruned = remove(&merged, &gone.intersection(&last_fields), place);
        let own = self.kind.api_version();
        if own == last.api_version { pruned } else { self.versions.convert(&pruned, &last.api_version, &own) }
    }

    /// Puts back what was pruned of the fields that managers own in `version`. `merged` and
    /// `pruned` are in the version `from`.
    fn add_back_owned(&self, merged: &Tree, pruned: Tree, from: &str, version: &str, owned: &Set) -> Tree {
        let Some(schema) = self.versions.schema(version) else { return pruned };
        let place = Place(Some(schema));
        let there = |object: &Tree| {
            if from == version { object.clone() } else { self.versions.convert(object, from, version) }
        };
        let (merged, pruned) = (there(merged), there(&pruned));
        let named = |set: &Set| set.with_named_fields(place.0);
        let kept = named(&fields_of(&pruned, place)).union(named(owned));
        let back = remove(&merged, &named(&fields_of(&merged, place)).difference(&kept), place);
        if from == version { back } else { self.versions.convert(&back, version, from) }
    }
}

/// `object` with what `config` says laid over it, without asking who owns what.
pub fn overlaid(object: &Tree, config: &Tree, schema: Schema<'_>) -> Tree {
    merge(object, config, Place(Some(schema)))
}

/// Lists and maps in `config` that can only be replaced as a whole, by their paths.
pub fn atomics(config: &Tree, schema: Schema<'_>) -> Vec<String> {
    let mut found = Vec::new();
    walk::find_atomics(config, Place(Some(schema)), &mut Vec::new(), &mut found);
    found
}

/// Fields that an apply would change although others own them.
#[derive(Debug, Default)]
struct Conflicts(Vec<(Manager, Set)>);

impl Conflicts {
    fn without(self, allowed: &Set) -> Self {
        let left = self.0.into_iter().map(|(manager, fields)| (manager, fields.difference(allowed)));
        Self(left.filter(|(_, fields)| !fields.is_empty()).collect())
    }

    fn into_status(self) -> Status {
        let each: Vec<(String, Vec<String>)> = (self.0.iter())
            .map(|(manager, fields)| {
                (manager.describe(), fields.paths().iter().map(|path| set::show_path(path)).collect())
            })
            .collect();
        let count: usize = each.iter().map(|(_, paths)| paths.len()).sum();
        let message = match each.as_slice() {
            [(manager, paths)] if count == 1 => {
                format!("Apply failed with 1 conflict: conflict with {manager}: {}", paths[0])
            }
            each => {
                let told =
                    each.iter().map(|(manager, paths)| format!("conflicts with {manager}:\n- {}", paths.join("\n- ")));
                format!("Apply failed with {count} conflicts: {}", told.collect::<Vec<_>>().join("\n"))
            }
        };
        let causes = each.iter().flat_map(|(manager, paths)| {
            paths.iter().map(move |path| Cause {
                reason: "FieldManagerConflict".into(),
                message: format!("conflict with {manager}"),
                field: path.clone(),
            })
        });
        let details = Details { causes: causes.collect(), ..Details::default() };
        Status::new(Reason::Conflict, message).with_details(details)
    }
}

#[cfg(test)]
mod tests;
