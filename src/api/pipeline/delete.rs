//! DELETE of an object or of a collection.
//!
//! Deleting is asking for deletion: what has finalizers or a grace period is only marked, and goes
//! away when the last of them is through. The rest is removed at once.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::api::admission::{Attributes, Operation};
use crate::api::audit;
use crate::api::crd::{self, CustomView};
use crate::api::options;
use crate::object::field::FieldErrors;
use crate::object::status::Details;
use crate::object::tree::{Tree, TreePath, json, to_tree};
use crate::object::{Answer, Body, GroupResource, List, ObjectRef, Reason, Reply, Status, Timestamp};
use crate::store::{Command, Outcome, State};

use super::act::Act;
use super::{Api, deposed, stored};

const ATTEMPTS_MAX: usize = 64;
/// Objects of a collection that are deleted at the same time.
const DELETIONS_AT_ONCE: usize = 64;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Resources whose deletion is answered with the object, not with a Status.
const ANSWERED_WITH_OBJECT: &[&str] = &[
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "deviceclasses.resource.k8s.io",
    "devicetaintrules.resource.k8s.io",
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourceclaims.resource.k8s.io",
    "resourceclaimtemplates.resource.k8s.io",
    "resourcepoolstatusrequests.resource.k8s.io",
    "resourcequotas",
    "resourceslices.resource.k8s.io",
    "serviceaccounts",
    "services",
    "storageclasses.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
];

/// Resources whose dependents stay unless the client says otherwise.
const ORPHANING: &[&str] = &["jobs.batch", "replicationcontrollers"];

/// The only resource whose objects are given time to end.
const GRACEFUL: &str = "pods";

const JOBS_WARNING: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub propagation_policy: Option<String>,
    pub dry_run: bool,
}

/// What a deletion does to the object.
enum Step {
    /// It is already on its way out.
    Pending,
    /// Marked, to be finished by finalizers or by whoever runs it.
    Mark(Tree),
    /// Removed, in the state that is answered.
    Remove(Tree),
}

impl DeleteOptions {
    /// Reads the options in the body, or without a body those in the query.
    pub fn read(act: &Act, body: Option<Tree>) -> Result<Self, Status> {
        let query = &act.call.options;
        let mut options = Self { dry_run: query.dry_run, ..Self::default() };
        let mut dry_run: Vec<String> = Vec::new();
        match body {
            Some(body) => {
                options.grace_period_seconds = body.int("gracePeriodSeconds");
                let text = |path: &str| body.at(path).and_then(Tree::as_str).map(str::to_owned);
                options.uid = text("preconditions.uid");
                options.resource_version = text("preconditions.resourceVersion");
                options.orphan_dependents = body.flag("orphanDependents");
                options.propagation_policy = text("propagationPolicy");
                dry_run.extend(body.items("dryRun").iter().filter_map(Tree::as_str).map(str::to_owned));
            }
            None => {
                options.grace_period_seconds = query.other("gracePeriodSeconds").and_then(|text| text.parse().ok());
                options.orphan_dependents = query.other("orphanDependents").map(crate::api::request::truth);
                options.propagation_policy = query.other("propagationPolicy").map(str::to_owned);
            }
        }
        options.dry_run |= !dry_run.is_empty();
        let mut errors = FieldErrors::default();
        if let Some(policy) = &options.propagation_policy {
            if options.orphan_dependents.is_some() {
                errors.invalid(
                    "propagationPolicy",
                    policy.as_str(),
                    "orphanDependents and deletionPropagation cannot be both set",
                );
            }
            if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                options::not_supported(&mut errors, "propagationPolicy", json!(policy), &supported);
            }
        }
        options::check_dry_run(&dry_run.iter().map(String::as_str).collect::<Vec<_>>(), &mut errors);
        if !errors.is_empty() {
            return Err(options::invalid("DeleteOptions", errors));
        }
        if options.grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            options.grace_period_seconds = Some(1);
        }
        Ok(options)
    }

    /// Complains unless the object is the one that the client means.
    fn check_preconditions(&self, act: &Act, object: &ObjectRef) -> Result<(), Status> {
        let meta = object.meta();
        let conflict = |why: String| {
            let kind = GroupResource::new(&act.resource.group, &act.resource.kind);
            Err(Status::conflict(&kind, object.key().name(), why))
        };
        match (&self.uid, &self.resource_version) {
            (Some(uid), _) if uid != meta.uid() => conflict(format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
                meta.uid()
            )),
            (_, Some(version)) if *version != object.revision().to_string() => conflict(format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
                object.revision()
            )),
            _ => Ok(()),
        }
    }

    /// The finalizers that make the garbage collector do what is asked for dependents.
    fn finalizers(&self, resource: &GroupResource, present: &[Tree]) -> Vec<Tree> {
        let has = |name: &str| present.iter().any(|finalizer| finalizer == name);
        let (orphan, foreground) = match (self.orphan_dependents, self.propagation_policy.as_deref()) {
            _ if resource.as_str() == "events" => (false, false),
            (Some(orphan), _) => (orphan, false),
            (None, Some(policy)) => (policy == "Orphan", policy == "Foreground"),
            (None, None) if has(ORPHAN) => (true, false),
            (None, None) if has(FOREGROUND) => (false, true),
            (None, None) => (ORPHANING.contains(&resource.as_str()), false),
        };
        let mut finalizers: Vec<Tree> =
            present.iter().filter(|finalizer| *finalizer != ORPHAN && *finalizer != FOREGROUND).cloned().collect();
        finalizers.extend(orphan.then(|| ORPHAN.into()));
        finalizers.extend(foreground.then(|| FOREGROUND.into()));
        finalizers
    }

    fn warns_of_orphans(&self, resource: &GroupResource) -> bool {
        resource.as_str() == "jobs.batch" && self.orphan_dependents.is_none() && self.propagation_policy.is_none()
    }
}

impl Api {
    pub(super) async fn delete(&self, mut act: Act) -> Result<Answer, Status> {
        let options = self.read_delete_options(&mut act)?;
        if options.warns_of_orphans(&act.resource.name) {
            act.warnings.push(JOBS_WARNING.into());
        }
        let name = act.name().to_owned();
        let reply = self.delete_one(&mut act, &name, &options).await?;
        Ok(Answer { reply, warnings: act.warnings })
    }

    pub(super) async fn delete_collection(&self, mut act: Act) -> Result<Answer, Status> {
        let options = self.read_delete_options(&mut act)?;
        self.fresh("").await?; // what is not in an old state would stay
        let mut list = self.select(&act)?;
        if act.resource.is_custom {
            list.items = CustomView::of(&act).selected(self, list.items).await?;
        }
        if options.warns_of_orphans(&act.resource.name) && !list.items.is_empty() {
            act.warnings.push(JOBS_WARNING.into());
        }
        // Side by side, so that one sync of the log carries many of them.
        let mut warnings = Vec::new();
        let mut deletions = stream::iter(list.items.clone())
            .map(|object| {
                let (mut one, options) = (act.clone(), &options);
                one.call.target.namespace = object.key().namespace().to_owned();
                one.warnings.clear();
                async move { (self.delete_one(&mut one, object.key().name(), options).await, one.warnings) }
            })
            .buffer_unordered(DELETIONS_AT_ONCE);
        while let Some((deleted, more)) = deletions.next().await {
            match deleted {
                Err(status) if !status.is(Reason::NotFound) => return Err(status),
                _ => warnings.extend(more),
            }
        }
        drop(deletions);
        act.warnings.extend(warnings);
        let items = List { continue_token: String::new(), remaining: None, ..list };
        Ok(Answer { reply: Reply::List(items), warnings: act.warnings })
    }

    fn read_delete_options(&self, act: &mut Act) -> Result<DeleteOptions, Status> {
        let body = match std::mem::take(&mut act.call.body) {
            Body::None => None,
            Body::Tree(tree) => Some(tree),
            Body::Bytes(_, bytes) if bytes.is_empty() => None,
            Body::Bytes(encoding, bytes) => Some(self.decode_delete_options(encoding, &bytes)?),
            Body::Patch(..) => None,
        };
        body.iter().for_each(audit::request);
        let options = DeleteOptions::read(act, body)?;
        act.call.options.dry_run |= options.dry_run;
        Ok(options)
    }

    /// Deletes the object `name` of the act's namespace.
    async fn delete_one(&self, act: &mut Act, name: &str, options: &DeleteOptions) -> Result<Reply, Status> {
        let key = act.key_of(name);
        for _ in 0..ATTEMPTS_MAX {
            let state = self.state();
            let not_found = || Status::not_found(&act.resource.name, name);
            let old = state.get(&key).cloned().ok_or_else(not_found)?;
            let step = self.prepare_delete(act, &state, &old, options).await?;
            let changes_nothing = matches!(step, Step::Pending) || act.is_dry_run();
            if changes_nothing && !self.is_still(&key, &old).await? {
                continue;
            }
            let (command, answer) = match step {
                Step::Pending => return Ok(deletion_answer(act, &old.tree())),
                // Asking again for what is on its way changes nothing, and must not wake anybody.
                Step::Mark(tree) if tree == old.tree() && !is_over(act, &old) => {
                    return Ok(Reply::Object { object: old, created: false });
                }
                Step::Mark(tree) if act.is_dry_run() => return Ok(Reply::Tree { tree, created: false }),
                Step::Remove(tree) if act.is_dry_run() => return Ok(deletion_answer(act, &tree)),
                Step::Mark(tree) => {
                    let payload = self.encode(&act.resource, &tree).await?;
                    (Command::update(key.clone(), old.revision(), payload), None)
                }
                Step::Remove(tree) => (Command::delete(key.clone(), old.revision()), Some(tree)),
            };
            match self.propose(command).await? {
                Outcome::Committed { objects, revision } => {
                    return Ok(match answer {
                        None => {
                            let object = stored(objects)?;
                            if is_over(act, &object) {
                                return self.remove_marked(act, object).await;
                            }
                            Reply::Object { object, created: false }
                        }
                        Some(mut tree) => {
                            tree.set("metadata.resourceVersion", revision.to_string());
                            deletion_answer(act, &tree)
                        }
                    });
                }
                Outcome::Failed { .. } => continue,
                Outcome::Deposed { .. } => return Err(deposed()),
            }
        }
        Err(Status::conflict(&act.resource.name, name, super::update::CONFLICT))
    }

    /// Takes away what has just been marked, and needs nobody to end it.
    async fn remove_marked(&self, act: &Act, object: ObjectRef) -> Result<Reply, Status> {
        match self.propose(Command::delete(object.key().clone(), object.revision())).await? {
            Outcome::Committed { .. } | Outcome::Failed { .. } => Ok(deletion_answer(act, &object.tree())),
            Outcome::Deposed { .. } => Err(deposed()),
        }
    }

    async fn prepare_delete(
        &self,
        act: &mut Act,
        state: &State,
        old: &ObjectRef,
        options: &DeleteOptions,
    ) -> Result<Step, Status> {
        options.check_preconditions(act, old)?;
        let mut tree = old.tree();
        let attributes = Attributes::of(self, act, state, Operation::Delete, Some(&tree));
        let mut warnings = Vec::new();
        self.mutate_by_hooks(&attributes, &mut Tree::Null, &mut warnings).await?;
        self.admission.validate(&attributes, None, &mut warnings)?;
        self.validate_by_policies(&attributes, None, &mut warnings)?;
        self.validate_by_hooks(&attributes, None, &mut warnings).await?;
        drop(attributes);
        act.warnings.extend(warnings);
        Ok(deletion_step(act, &mut tree, options, self.now()))
    }
}

/// What `options` do to the object, as of now.
fn deletion_step(act: &Act, tree: &mut Tree, options: &DeleteOptions, now: Timestamp) -> Step {
    match act.resource.name.as_str() {
        "namespaces" => return namespace_step(tree, options, now),
        crd::DEFINITIONS if !tree.has("metadata.deletionTimestamp") => {
            crd::begin_deletion(tree, now);
            return Step::Mark(std::mem::take(tree));
        }
        _ => (),
    }
    let left = tree.int("metadata.deletionGracePeriodSeconds").unwrap_or(0);
    let was_deleting = tree.has("metadata.deletionTimestamp");
    let graceful = if was_deleting && left == 0 {
        None
    } else if was_deleting {
        match options.grace_period_seconds {
            Some(period) if period < left => {
                let (period, at) = shortened(tree, left, period, now);
                mark(tree, period, at);
                Some(period)
            }
            _ => return Step::Pending,
        }
    } else if act.resource.name.as_str() == GRACEFUL {
        let period = act.resource.rules.grace_period_seconds(tree, options.grace_period_seconds).max(0);
        raise_generation(tree);
        mark(tree, period, now + Duration::from_secs(period as u64));
        Some(period)
    } else {
        None
    };

    let finalizers = options.finalizers(&act.resource.name, tree.items("metadata.finalizers"));
    let pending = !finalizers.is_empty();
    set_finalizers(tree, finalizers);
    match graceful {
        // Watchers are told that it ends, and only then that it is gone.
        Some(_) => Step::Mark(std::mem::take(tree)),
        None if pending => {
            if !was_deleting {
                raise_generation(tree);
            }
            let at = Timestamp::parse(tree.text("metadata.deletionTimestamp")).filter(|at| *at < now).unwrap_or(now);
            mark(tree, 0, at);
            Step::Mark(std::mem::take(tree))
        }
        _ => Step::Remove(std::mem::take(tree)),
    }
}

/// Whether nothing stands between a marked object and its end.
fn is_over(act: &Act, object: &ObjectRef) -> bool {
    let meta = object.meta();
    act.resource.name.as_str() == GRACEFUL
        && meta.finalizers.is_empty()
        && meta.deletion_grace_period_seconds() == Some(0)
}

/// A namespace is closed first, and stays until what is in it is gone.
fn namespace_step(tree: &mut Tree, options: &DeleteOptions, now: Timestamp) -> Step {
    if tree.has("metadata.deletionTimestamp") {
        let held = ["spec.finalizers", "metadata.finalizers"].iter().any(|list| !tree.items(list).is_empty());
        return if held { Step::Pending } else { Step::Remove(std::mem::take(tree)) };
    }
    tree.set("metadata.deletionTimestamp", now);
    tree.set("status.phase", "Terminating");
    let finalizers = options.finalizers(&GroupResource::new("", "namespaces"), tree.items("metadata.finalizers"));
    set_finalizers(tree, finalizers);
    Step::Mark(std::mem::take(tree))
}

fn set_finalizers(tree: &mut Tree, finalizers: Vec<Tree>) {
    if finalizers.is_empty() {
        tree.unset("metadata.finalizers");
    } else {
        tree.set("metadata.finalizers", finalizers);
    }
}

/// The end of a grace period that is cut short, never in the past.
fn shortened(tree: &Tree, left: i64, period: i64, now: Timestamp) -> (i64, Timestamp) {
    let end = Timestamp::parse(tree.text("metadata.deletionTimestamp")).unwrap_or(now);
    let at = end - Duration::from_secs((left - period).max(0) as u64);
    match at < now {
        true => (period.min(1), now),
        false => (period, at),
    }
}

fn mark(tree: &mut Tree, period: i64, at: Timestamp) {
    tree.set("metadata.deletionTimestamp", at);
    tree.set("metadata.deletionGracePeriodSeconds", period);
}

fn raise_generation(tree: &mut Tree) {
    if let Some(generation) = tree.int("metadata.generation").filter(|generation| *generation > 0) {
        tree.set("metadata.generation", generation + 1);
    }
}

/// What is answered for an object that is gone or going.
fn deletion_answer(act: &Act, tree: &Tree) -> Reply {
    if ANSWERED_WITH_OBJECT.contains(&act.resource.name.as_str()) {
        return Reply::Tree { tree: tree.clone(), created: false };
    }
    let details = Details {
        name: tree.text("metadata.name").into(),
        group: act.resource.group.to_string(),
        kind: act.resource.plural.to_string(),
        uid: tree.text("metadata.uid").into(),
        ..Details::default()
    };
    Reply::Success(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": to_tree(&details),
    }))
}
