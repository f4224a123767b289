//! The replica sets of a deployment while a plan is being made: who is new, who is old, and what
//! size each is to have. Changes gather here and are written once for each set.

use std::collections::HashSet;

use super::revision;
use crate::client::{Note, Seen};
use crate::controllers::runtime::Plan;
use crate::controllers::runtime::Told;
use crate::controllers::runtime::plan::reference;
use crate::controllers::shared::hash::template_hash;
use crate::controllers::shared::ownership::controller_ref;
use crate::object::kind::REPLICA_SET;
use crate::object::tree::json;
use crate::object::view::{Deployment, ReplicaSet};
use crate::object::{StringMap, Tree, TreePath};

pub const HASH_LABEL: &str = "pod-template-hash";
const NAME_LEN_MAX: usize = 253;

pub struct Rollout<'a> {
    pub(super) deployment: &'a Seen<Deployment>,
    /// Oldest first.
    pub(super) sets: Vec<Sized>,
    pub(super) new: Option<usize>,
    /// The replicas of the set that this plan creates.
    pub(super) created_replicas: Option<i64>,
    template: Tree,
}

/// A replica set with the size and annotations it is to have.
pub(super) struct Sized {
    pub set: Seen<ReplicaSet>,
    pub replicas: i64,
    pub annotations: StringMap,
    min_ready_seconds: i64,
}

impl Sized {
    fn of(set: Seen<ReplicaSet>) -> Self {
        Self {
            replicas: size(&set),
            annotations: set.meta().annotations.clone(),
            min_ready_seconds: set.spec.min_ready_seconds,
            set,
        }
    }
}

pub(super) fn size(set: &ReplicaSet) -> i64 {
    set.spec.replicas.unwrap_or(1)
}

impl<'a> Rollout<'a> {
    pub fn new(deployment: &'a Seen<Deployment>, mut sets: Vec<Seen<ReplicaSet>>) -> Self {
        sets.sort_by(|a, b| (a.meta().creation_timestamp, a.name()).cmp(&(b.meta().creation_timestamp, b.name())));
        let template = deployment.spec.template.tree();
        let wanted = without_hash(template.clone());
        let new = sets.iter().position(|set| without_hash(set.spec.template.tree()) == wanted);
        Self { deployment, sets: sets.into_iter().map(Sized::of).collect(), new, created_replicas: None, template }
    }

    pub fn namespace(&self) -> &str {
        self.deployment.namespace()
    }

    /// How many pods the deployment wants.
    pub fn desired(&self) -> i64 {
        self.deployment.spec.replicas.unwrap_or(1)
    }

    pub fn has_new(&self) -> bool {
        self.new.is_some()
    }

    pub(super) fn new_set(&self) -> Option<&Sized> {
        self.new.map(|index| &self.sets[index])
    }

    fn is_old(&self, index: usize) -> bool {
        self.new != Some(index)
    }

    /// Indexes of the old sets, oldest first.
    pub(super) fn old(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|index| self.is_old(*index)).collect()
    }

    pub fn old_sets(&self) -> impl Iterator<Item = &Seen<ReplicaSet>> {
        self.sets.iter().enumerate().filter(|(index, _)| self.is_old(*index)).map(|(_, sized)| &sized.set)
    }

    /// The revision of the new set, when it is there.
    pub fn revision(&self) -> Option<&str> {
        self.new_set().and_then(|sized| sized.annotations.get(revision::REVISION))
    }

    fn next_revision(&self) -> i64 {
        self.old_sets().map(|set| revision::of(&set.meta().annotations)).max().unwrap_or(0) + 1
    }

    /// Brings the new set's annotations and `minReadySeconds` up to date.
    pub fn annotate_new(&mut self) {
        let next = self.next_revision();
        let Some(index) = self.new else { return };
        let sized = &mut self.sets[index];
        revision::inherit(&mut sized.annotations, &self.deployment.meta().annotations, next);
        sized.min_ready_seconds = self.deployment.spec.min_ready_seconds;
    }

    pub fn new_name(&self) -> String {
        let hash = self.hash();
        let name = self.deployment.name();
        let cut = name.len().min(NAME_LEN_MAX - 1 - hash.len());
        format!("{}-{hash}", &name[..cut])
    }

    fn hash(&self) -> String {
        template_hash(&self.template, self.deployment.status.collision_count)
    }

    pub fn create_new(&mut self, name: &str, plan: &mut Plan) {
        let hash = self.hash();
        let replicas = self.new_size(0);
        let mut template = self.template.clone();
        template.set_default("metadata.labels", json!({}));
        if let Some(labels) = template.at_mut("metadata.labels") {
            labels[HASH_LABEL] = hash.as_str().into();
        }
        let mut annotations = StringMap::new();
        revision::inherit(&mut annotations, &self.deployment.meta().annotations, self.next_revision());
        revision::note_scale(&mut annotations, self.desired(), self.desired() + self.max_surge());
        let mut selector = self.deployment.object().tree().at("spec.selector").cloned().unwrap_or_default();
        selector.set_default("matchLabels", json!({}));
        selector["matchLabels"][HASH_LABEL] = hash.as_str().into();
        let set = json!({
            "metadata": {
                "name": name,
                "namespace": self.namespace(),
                "ownerReferences": [controller_ref(self.deployment)],
                "labels": template.at("metadata.labels"),
                "annotations": annotations,
            },
            "spec": {
                "replicas": replicas,
                "minReadySeconds": self.deployment.spec.min_ready_seconds,
                "selector": selector,
                "template": template,
            },
        });
        let failed = ("ReplicaSetCreateError", format!("Failed to create new replica set \"{name}\": {{}}"));
        let mut told = Told::both(
            self.deployment,
            ("ScalingReplicaSet", format!("Scaled up replica set {{}} from 0 to {replicas}")),
            failed,
        );
        if replicas == 0 {
            told.done = None;
        }
        plan.create_and_tell(&REPLICA_SET, set, told);
        self.created_replicas = Some(replicas);
    }

    /// Writes what has changed, and tells about changed sizes.
    pub fn write(&self, plan: &mut Plan) {
        for sized in &self.sets {
            let (set, before) = (&sized.set, size(&sized.set));
            plan.update(set, |object| {
                if sized.annotations != set.meta().annotations {
                    object.set("metadata.annotations", json!(sized.annotations));
                }
                if sized.replicas != before {
                    object.set("spec.replicas", sized.replicas);
                }
                if sized.min_ready_seconds != set.spec.min_ready_seconds {
                    object.set("spec.minReadySeconds", sized.min_ready_seconds);
                }
            });
            if sized.replicas != before {
                let direction = if sized.replicas > before { "up" } else { "down" };
                let message =
                    format!("Scaled {direction} replica set {} from {before} to {}", set.name(), sized.replicas);
                plan.note(Note::normal(reference(self.deployment), "ScalingReplicaSet", message));
            }
        }
    }

    /// Deletes the oldest revisions beyond the history limit, as far as nothing runs in them.
    pub fn clean_up(&self, plan: &mut Plan) {
        let Some(limit) = self.deployment.spec.revision_history_limit.filter(|limit| *limit < i64::from(i32::MAX))
        else {
            return;
        };
        let mut alive: Vec<&Seen<ReplicaSet>> = self.old_sets().filter(|set| !set.is_deleting()).collect();
        let excess = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        alive.sort_by_key(|set| revision::of(&set.meta().annotations));
        let is_idle = |set: &ReplicaSet, generation| {
            set.status.replicas == 0 && size(set) == 0 && generation <= set.status.observed_generation
        };
        let unwritten: HashSet<&str> =
            self.sets.iter().filter(|sized| sized.replicas != size(&sized.set)).map(|s| s.set.name()).collect();
        for set in alive.into_iter().take(excess) {
            if is_idle(set, set.meta().generation) && !unwritten.contains(set.name()) {
                plan.delete(set, None);
            }
        }
    }
}

/// Templates are compared without the label that only the sets' have.
fn without_hash(mut template: Tree) -> Tree {
    if let Some(Tree::Object(labels)) = template.at_mut("metadata.labels") {
        labels.remove(HASH_LABEL);
        if labels.is_empty() {
            template.unset("metadata.labels");
        }
    }
    template
}
