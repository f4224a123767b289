//! Controller revisions: the templates that a daemon set or stateful set has had.

use crate::client::Seen;
use crate::controllers::runtime::Plan;
use crate::object::kind::CONTROLLER_REVISION;
use crate::object::tree::json;
use crate::object::view::ControllerRevision;
use crate::object::{PatchKind, Tree, TreePath, View};

use super::ownership::controller_ref;

/// A template as revisions keep it: a patch that puts it back.
pub fn data_of(template: &Tree) -> Tree {
    let mut template = template.clone();
    template.set("$patch", "replace");
    json!({"spec": {"template": template}})
}

/// The template inside a revision.
pub fn template_of(revision: &ControllerRevision) -> Tree {
    let mut template = revision.data.tree().at("spec.template").cloned().unwrap_or_default();
    template.unset("$patch");
    template
}

/// The history of one owner, oldest first, with the revision of its present template.
pub struct History {
    revisions: Vec<Seen<ControllerRevision>>,
    /// Where the present template's revision is, unless this plan makes it.
    present: Option<usize>,
    data: Tree,
}

impl History {
    pub fn new(mut revisions: Vec<Seen<ControllerRevision>>, template: &Tree) -> Self {
        revisions.sort_by(|a, b| (a.revision, a.name()).cmp(&(b.revision, b.name())));
        let data = data_of(template);
        let present = revisions.iter().rposition(|revision| revision.data.tree() == data);
        Self { revisions, present, data }
    }

    /// The data of the present template, as its hash is taken over it.
    pub fn data(&self) -> &Tree {
        &self.data
    }

    pub fn find(&self, name: &str) -> Option<&Seen<ControllerRevision>> {
        self.revisions.iter().find(|revision| revision.name() == name)
    }

    pub fn present(&self) -> Option<&Seen<ControllerRevision>> {
        self.present.map(|index| &self.revisions[index])
    }

    /// The hash for the present template's name: `hash_of` how many names were taken so far. A name is
    /// taken if a revision of another template has it.
    pub fn free_hash<V: View>(&self, owner: &Seen<V>, taken: i64, hash_of: impl Fn(i64) -> String) -> (String, i64) {
        let mut taken = taken;
        let mut hash = hash_of(taken);
        while self.present.is_none() && self.find(&format!("{}-{hash}", owner.name())).is_some() {
            taken += 1;
            hash = hash_of(taken);
        }
        (hash, taken)
    }

    fn next_number(&self) -> i64 {
        self.revisions.last().map_or(1, |last| last.revision + 1)
    }

    /// Records the present template: makes its revision, or the newest of one from the past.
    pub fn record<V: View>(&self, owner: &Seen<V>, template: &Tree, hash_label: &str, hash: &str, plan: &mut Plan) {
        let Some(present) = self.present() else {
            let mut labels = template.at("metadata.labels").cloned().unwrap_or(json!({}));
            labels[hash_label] = hash.into();
            let mut revision = json!({
                "metadata": {
                    "name": format!("{}-{hash}", owner.name()), "namespace": owner.namespace(), "labels": labels,
                    "ownerReferences": [controller_ref(owner)],
                },
                "data": self.data,
                "revision": self.next_number(),
            });
            if !owner.meta().annotations.is_empty() {
                revision.set("metadata.annotations", json!(owner.meta().annotations));
            }
            return plan.create(&CONTROLLER_REVISION, revision);
        };
        if self.present != Some(self.revisions.len() - 1) {
            let body = json!({"revision": self.next_number()});
            plan.patch(&CONTROLLER_REVISION, present.key(), PatchKind::Merge, body);
        }
    }

    /// Deletes the oldest revisions beyond `limit` that are not `in_use`.
    pub fn truncate(&self, limit: i64, in_use: impl Fn(&Seen<ControllerRevision>) -> bool, plan: &mut Plan) {
        let present = self.present().map(|present| present.name());
        let idle = self.revisions.iter().filter(|revision| Some(revision.name()) != present && !in_use(revision));
        let idle: Vec<_> = idle.collect();
        let excess = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        idle.into_iter().take(excess).for_each(|revision| plan.delete(revision, None));
    }
}
