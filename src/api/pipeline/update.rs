//! PUT, and what every change of an existing object has in common.
//!
//! A change is made from the newest state and proposed on the condition that this still is the
//! state; when another write came between, it is made again. Only a client that named a version is
//! told of the conflict.

use crate::api::admission::{Attributes, Operation};
use crate::api::alloc::Reservations;
use crate::api::crd::CustomView;
use crate::object::patch::keep_times;
use crate::object::tree::{Tree, TreePath};
use crate::object::{Answer, Call, FieldErrors, Key, ObjectRef, Reply, Status, Verb};
use crate::resources::meta;
use crate::resources::path::{complaints, errors_of};
use crate::store::{Command, Outcome, Payload, State};

use super::act::Act;
use super::{Api, deposed, metadata, stored};

/// How often a change is made again because another one was faster.
const ATTEMPTS_MAX: usize = 64;

pub const CONFLICT: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Which part of the object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but status.
    Main,
    Status,
    /// What a special subresource (`resize`, `approval`, …) may change.
    Special(&'static str),
}

/// What is to be done after all checks.
enum Change {
    Put(Tree),
    /// The last finalizer is gone, and with it the object.
    Remove(Tree),
    Nothing,
}

impl Api {
    pub(crate) async fn update(&self, mut act: Act, part: Part) -> Result<Answer, Status> {
        let mut tree = self.decode(&mut act)?;
        metadata::match_namespace(&mut tree, act.namespace())?;
        let name = act.name().to_owned();
        metadata::match_name(&mut tree, &name, false)?;
        metadata::dedup_owners(&mut tree, false, &mut act.warnings);
        let key = act.key();
        if part == Part::Main && act.resource.rules.create_on_update() && self.state().get(&key).is_none() {
            return self.create_by_update(act, tree).await;
        }
        self.change(act, part, |_, _, old| {
            let uid = tree.text("metadata.uid");
            if !uid.is_empty() && uid != old.meta().uid() {
                return Err(uid_mismatch(&key, uid, old.meta().uid()));
            }
            Ok(tree.clone())
        })
        .await
    }

    /// PUT of what is not there, for the few kinds that allow it.
    async fn create_by_update(&self, act: Act, mut tree: Tree) -> Result<Answer, Status> {
        let create = Call { verb: Verb::Create, ..act.call.clone() };
        self.authorize(&create)?;
        let uid = tree.text("metadata.uid").to_owned();
        if !uid.is_empty() {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
            return Err(Status::conflict(&act.resource.name, act.name(), why));
        }
        metadata::wipe_system_fields(&mut tree);
        self.create_tree(act, tree).await
    }

    /// Changes an existing object to what `make` makes of it.
    pub(crate) async fn change<F>(&self, mut act: Act, part: Part, mut make: F) -> Result<Answer, Status>
    where
        F: FnMut(&Self, &mut Act, &ObjectRef) -> Result<Tree, Status>,
    {
        let key = act.key();
        let warned = act.warnings.len();
        for _ in 0..ATTEMPTS_MAX {
            act.warnings.truncate(warned);
            let state = self.state();
            let old = state.get(&key).cloned().ok_or_else(|| act.not_found())?;
            let old = CustomView::of(&act).object(self, old).await?;
            let new = make(self, &mut act, &old)?;
            let named_version = metadata::parse_version(new.text("metadata.resourceVersion"))?;
            let prepared = self.prepare_update(&mut act, part, &state, new, &old).await;
            let (change, reservations) = prepared.map_err(|status| status.with_warnings(&act.warnings))?;
            let done = self.carry_out(&mut act, &key, &old, change).await?;
            drop(reservations);
            match done {
                Some(reply) => return Ok(Answer { reply, warnings: act.warnings }),
                None if named_version.is_some() && act.call.verb == Verb::Update => {
                    return Err(Status::conflict(&act.resource.name, act.name(), CONFLICT));
                }
                None => continue,
            }
        }
        Err(Status::conflict(&act.resource.name, act.name(), CONFLICT))
    }

    /// Everything between a changed object and one that may be stored.
    async fn prepare_update(
        &self,
        act: &mut Act,
        part: Part,
        state: &State,
        mut new: Tree,
        old_object: &ObjectRef,
    ) -> Result<(Change, Reservations), Status> {
        let old = old_object.tree();
        let rules = act.resource.rules.clone();
        self.track_change(act, part, &old, &mut new);
        let attributes = Attributes::of(self, act, state, Operation::Update, Some(&old));
        let mut warnings = Vec::new();
        self.admission.admit(&attributes, &mut new, &mut warnings)?;
        self.mutate_by_policies(&attributes, &mut new).await?;
        self.mutate_by_hooks(&attributes, &mut new, &mut warnings).await?;
        metadata::dedup_owners(&mut new, true, &mut warnings);

        match metadata::parse_version(new.text("metadata.resourceVersion"))? {
            Some(version) if version != old_object.revision().0 => {
                return Err(Status::conflict(&act.resource.name, act.name(), CONFLICT));
            }
            None if !rules.unconditional_update() => return Err(version_required(act)),
            _ => (),
        }
        metadata::match_namespace(&mut new, act.namespace())?;
        new.set("metadata.resourceVersion", old_object.revision().to_string());
        metadata::copy(&mut new, &old, "generation");
        self.keep_other_parts(act, part, &mut new, &old);
        metadata::keep_system_fields(&mut new, &old);
        let counts = matches!(part, Part::Main | Part::Special("resize" | "ephemeralcontainers"));
        if counts && rules.has_generation() && rules.bumps_generation(&new, &old) {
            new.set("metadata.generation", old.int("metadata.generation").unwrap_or(0) + 1);
        }
        let reservations = self.allocator.reserve(&attributes, &mut new)?;

        let mut errors = errors_of(|errors| {
            meta::validate(&act.resource, &new, Some(&old), errors);
            match part {
                Part::Main => rules.validate(&new, Some(&old), errors),
                Part::Status => rules.validate_status(&new, &old, errors),
                Part::Special(name) => rules.validate_subresource(name, &new, &old, errors),
            }
        });
        warnings.extend(errors.take_tolerated());
        if !errors.is_empty() {
            drop(attributes);
            act.warnings.extend(warnings);
            return Err(errors.into_status(&act.gvk(), act.name()));
        }
        if part == Part::Main {
            warnings.extend(complaints(|| rules.warnings(&new, Some(&old))));
        }
        keep_times(&mut new, &old);
        self.admission.validate(&attributes, Some(&new), &mut warnings)?;
        self.validate_by_policies(&attributes, Some(&new), &mut warnings)?;
        self.validate_by_hooks(&attributes, Some(&new), &mut warnings).await?;
        drop(attributes);
        act.warnings.extend(warnings);

        let gone = new.items("metadata.finalizers").is_empty()
            && old.has("metadata.deletionTimestamp")
            && old.int("metadata.deletionGracePeriodSeconds").unwrap_or(0) == 0
            && !spared(&act.resource.name, &new);
        let change = match gone {
            true => Change::Remove(new),
            false if new == old => Change::Nothing,
            false => Change::Put(new),
        };
        Ok((change, reservations))
    }

    /// Puts back what a write of `part` may not touch.
    fn keep_other_parts(&self, act: &Act, part: Part, new: &mut Tree, old: &Tree) {
        let rules = &act.resource.rules;
        match part {
            Part::Main => {
                if act.version().has_status() {
                    restore(new, old, "status");
                }
                rules.prepare_update(new, old);
            }
            Part::Status => {
                let names: Vec<String> = [&*new, old]
                    .iter()
                    .filter_map(|tree| tree.as_object())
                    .flat_map(|map| map.keys().map(ToString::to_string))
                    .collect();
                for name in names.iter().filter(|name| !matches!(name.as_str(), "metadata" | "status")) {
                    restore(new, old, name);
                }
                if act.resource.is_custom {
                    keep_metadata(new, old);
                }
                metadata::copy(new, old, "ownerReferences");
                metadata::copy(new, old, "deletionTimestamp");
                rules.prepare_status(new, old);
            }
            Part::Special(name) => rules.prepare_subresource(name, new, old),
        }
    }

    /// Writes the change; `None` if the object was no longer what it was made from.
    async fn carry_out(
        &self,
        act: &mut Act,
        key: &Key,
        old: &ObjectRef,
        change: Change,
    ) -> Result<Option<Reply>, Status> {
        let (outcome, tree) = match change {
            Change::Nothing => return Ok(Some(Reply::Object { object: old.clone(), created: false })),
            Change::Put(tree) if act.is_dry_run() => {
                self.charges(act, Operation::Update, Some(old), &tree)?;
                let tree = self.as_stored(&act.resource, tree).await?;
                return Ok(Some(Reply::Tree { tree, created: false }));
            }
            Change::Remove(tree) if act.is_dry_run() => return Ok(Some(Reply::Tree { tree, created: false })),
            Change::Put(tree) => {
                let payload = self.encode(&act.resource, &tree).await?;
                if is_what_is_there(&payload, old) {
                    return Ok(Some(Reply::Object { object: old.clone(), created: false }));
                }
                let command = self.update_command(act, key, old, payload);
                (self.propose_charged(act, Operation::Update, Some(old), &tree, command).await?, None)
            }
            Change::Remove(tree) => (self.propose(Command::delete(key.clone(), old.revision())).await?, Some(tree)),
        };
        match outcome {
            Outcome::Committed { objects, .. } => Ok(Some(match tree {
                Some(tree) => Reply::Tree { tree, created: false },
                None => Reply::Object { object: stored(objects)?, created: false },
            })),
            Outcome::Failed { .. } => Ok(None),
            Outcome::Deposed { .. } => Err(deposed()),
        }
    }

    fn update_command(&self, act: &Act, key: &Key, old: &ObjectRef, payload: Payload) -> Command {
        let command = Command::update(key.clone(), old.revision(), payload);
        // Heartbeats of nodes are worth no disk write: the next one says the same.
        if act.resource.name.as_str() == "leases.coordination.k8s.io" && act.namespace() == "kube-node-lease" {
            command.volatile()
        } else {
            command
        }
    }
}

/// Whether `payload` says what `old` says, but for the revision, whose place it leaves empty.
fn is_what_is_there(payload: &Payload, old: &ObjectRef) -> bool {
    let (new, old, at) = (&payload.bytes, old.bytes(), payload.revision_at as usize);
    let digits = old.len().wrapping_sub(new.len());
    digits <= 20 && new[..at] == old[..at] && new[at..] == old[at + digits..]
}

/// A namespace is only gone when its own list of finalizers is empty too.
fn spared(resource: &crate::object::GroupResource, new: &Tree) -> bool {
    resource.as_str() == "namespaces" && !new.items("spec.finalizers").is_empty()
}

/// A status write of a custom object changes nothing of its metadata but who set what.
fn keep_metadata(new: &mut Tree, old: &Tree) {
    let own = ["managedFields", "resourceVersion"].map(|field| (field, new.at(&format!("metadata.{field}")).cloned()));
    restore(new, old, "metadata");
    for (field, value) in own {
        let path = format!("metadata.{field}");
        match value {
            Some(value) => drop(new.set(&path, value)),
            None => drop(new.unset(&path)),
        }
    }
}

fn restore(new: &mut Tree, old: &Tree, field: &str) {
    match (old.get(field), new.as_object_mut()) {
        (Some(value), Some(map)) => {
            map.insert(field.to_owned().into(), value.clone());
        }
        (None, Some(map)) => {
            map.remove(field);
        }
        (_, None) => (),
    }
}

fn version_required(act: &Act) -> Status {
    let mut errors = FieldErrors::default();
    errors.invalid("metadata.resourceVersion", 0, "must be specified for an update");
    let mut gvk = act.gvk();
    gvk.kind = act.resource.plural.clone();
    errors.into_status(&gvk, act.name())
}

fn uid_mismatch(key: &Key, given: &str, actual: &str) -> Status {
    let resource = key.group_resource();
    let path = if resource.group().is_empty() {
        format!("/registry/{}/{}/{}", resource.resource(), key.namespace(), key.name())
    } else {
        format!("/registry/{}/{}/{}/{}", resource.group(), resource.resource(), key.namespace(), key.name())
    };
    let path = path.replace("//", "/");
    Status::conflict(
        &resource,
        key.name(),
        format!(
            "StorageError: invalid object, Code: 4, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {actual}"
        ),
    )
}
