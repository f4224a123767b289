//! What a controller wants done, as a value.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use crate::client::{DeleteOptions, Note, NoteKind, Seen};
use crate::object::view::Reference;
use crate::object::{Key, Kind, PatchKind, Reason, Revision, Tree, TreePath, View};

/// Steps in the order in which they are to be taken.
///
/// Neighbouring creates and deletes run in parallel. The first write that fails ends the plan but
/// for its status updates; the key is tried again after a growing delay, and the next
/// reconcile can see why through [`Plan::failure`].
#[derive(Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub again_after: Option<Duration>,
    settings: Arc<Settings>,
    failure: Option<Failure>,
}

pub enum Step {
    Create {
        kind: Kind,
        object: Tree,
        told: Option<Told>,
    },
    /// Replaces the object if it still is at the `resourceVersion` inside.
    Update {
        kind: Kind,
        object: Tree,
    },
    /// As `Update`, for the status alone.
    Status {
        kind: Kind,
        object: Tree,
    },
    Patch {
        kind: Kind,
        key: Key,
        subresource: &'static str,
        patch: PatchKind,
        body: Tree,
        told: Option<Told>,
    },
    Apply {
        kind: Kind,
        object: Tree,
        manager: &'static str,
    },
    Delete {
        kind: Kind,
        key: Key,
        options: DeleteOptions,
        told: Option<Told>,
    },
    /// Asks the server, and ends the plan if one of these objects (of that uid, or any if it is
    /// empty) exists after all: the snapshot may not know yet what is very new.
    EndIfAny(Vec<(Kind, Key, String)>),
    /// Asks the server, and ends the plan if an object in the namespace that was written no later than `until` is
    /// not among those that were `seen`, or was seen otherwise: one resource's part of the snapshot may be
    /// behind another's.
    EndIfBehind {
        kind: Kind,
        namespace: String,
        until: Revision,
        seen: HashMap<Key, Revision>,
    },
    DeleteAll {
        kind: Kind,
        namespace: String,
    },
    /// Replaces a subresource, such as `finalize`.
    Put {
        kind: Kind,
        subresource: &'static str,
        object: Tree,
    },
    /// Posts to a subresource, such as `eviction`.
    Post {
        kind: Kind,
        key: Key,
        subresource: &'static str,
        body: Tree,
    },
    /// Takes the first step whose review, a SubjectAccessReview, the server allows.
    FirstAllowed(Vec<(Tree, Box<Step>)>),
    Note(Note),
}

/// The events that tell how a step went. `{}` stands for the object's name, or the error.
#[derive(Clone)]
pub struct Told {
    pub regarding: Reference,
    pub done: Option<(&'static str, String)>,
    pub failed: Option<(&'static str, String)>,
}

impl Told {
    /// Both events of a step about something that `owner` wants.
    pub fn both<V: View>(
        owner: &Seen<V>,
        done: (&'static str, impl Into<String>),
        failed: (&'static str, impl Into<String>),
    ) -> Self {
        let (done, failed) = (Some((done.0, done.1.into())), Some((failed.0, failed.1.into())));
        Self { regarding: reference(owner), done, failed }
    }

    /// The events of a pod's creation.
    pub fn pod_created<V: View>(owner: &Seen<V>) -> Self {
        Self::both(owner, ("SuccessfulCreate", "Created pod: {}"), ("FailedCreate", "Error creating: {}"))
    }

    /// The events of a pod's deletion.
    pub fn pod_deleted<V: View>(owner: &Seen<V>) -> Self {
        Self::both(owner, ("SuccessfulDelete", "Deleted pod: {}"), ("FailedDelete", "Error deleting: {}"))
    }
}

/// Why the last attempt ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `create`, `delete`, …
    pub verb: &'static str,
    pub reason: Reason,
    pub message: String,
}

impl Plan {
    pub fn new(settings: Arc<Settings>, failure: Option<Failure>) -> Self {
        Self { settings, failure, ..Self::default() }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Why the last attempt at this key ended early, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    pub fn create(&mut self, kind: &Kind, object: Tree) {
        self.steps.push(Step::Create { kind: kind.clone(), object, told: None });
    }

    pub fn create_and_tell(&mut self, kind: &Kind, object: Tree, told: Told) {
        self.steps.push(Step::Create { kind: kind.clone(), object, told: Some(told) });
    }

    /// Changes what `change` changes in the object; nothing if it changes nothing.
    pub fn update<V: View>(&mut self, seen: &Seen<V>, change: impl FnOnce(&mut Tree)) {
        let old = seen.object().tree();
        let mut object = old.clone();
        change(&mut object);
        if object != old {
            self.steps.push(Step::Update { kind: kind_of::<V>().clone(), object });
        }
    }

    /// Gives the object this status; nothing if it has it already.
    pub fn status<V: View>(&mut self, seen: &Seen<V>, status: Tree) {
        self.update_status(seen, |object| {
            if object.get("status").unwrap_or(&Tree::Null) != &status {
                object.set("status", status);
            }
        });
    }

    /// Changes what `change` changes in the object's status (and annotations, where the API lets a
    /// status update do that); nothing if it changes nothing.
    pub fn update_status<V: View>(&mut self, seen: &Seen<V>, change: impl FnOnce(&mut Tree)) {
        let old = seen.object().tree();
        let mut object = old.clone();
        change(&mut object);
        if object != old {
            self.steps.push(Step::Status { kind: kind_of::<V>().clone(), object });
        }
    }

    /// Makes the fields of `object` its own, as `manager`, and what they are here.
    pub fn apply(&mut self, kind: &Kind, object: Tree, manager: &'static str) {
        self.steps.push(Step::Apply { kind: kind.clone(), object, manager });
    }

    pub fn patch(&mut self, kind: &Kind, key: &Key, patch: PatchKind, body: Tree) {
        let (kind, key) = (kind.clone(), key.clone());
        self.steps.push(Step::Patch { kind, key, subresource: "", patch, body, told: None });
    }

    pub fn patch_status(&mut self, kind: &Kind, key: &Key, patch: PatchKind, body: Tree) {
        let (kind, key) = (kind.clone(), key.clone());
        self.steps.push(Step::Patch { kind, key, subresource: "status", patch, body, told: None });
    }

    /// Deletes this very object, as the user's defaults have it.
    pub fn delete<V: View>(&mut self, seen: &Seen<V>, told: Option<Told>) {
        self.delete_with::<V>(seen, DeleteOptions::of_uid(seen.uid()), told);
    }

    pub fn delete_with<V: View>(&mut self, seen: &Seen<V>, options: DeleteOptions, told: Option<Told>) {
        let kind = kind_of::<V>().clone();
        self.steps.push(Step::Delete { kind, key: seen.key().clone(), options, told });
    }

    pub fn note(&mut self, note: Note) {
        self.steps.push(Step::Note(note));
    }

    pub fn event<V: View>(&mut self, seen: &Seen<V>, kind: NoteKind, reason: &str, message: impl Into<String>) {
        self.note(Note::new(reference(seen), kind, reason, message));
    }

    /// Reconcile again after `delay` even if nothing changes; the shortest wish counts.
    pub fn again_after(&mut self, delay: Duration) {
        self.again_after = Some(self.again_after.map_or(delay, |earlier| earlier.min(delay)));
    }
}

/// The built-in kind that a view reads.
pub fn kind_of<V: View>() -> &'static Kind {
    Kind::built_in(V::RESOURCE).expect("every view reads a built-in resource; a test checks it")
}

/// A reference to an object, as its events carry it.
pub fn reference<V: View>(seen: &Seen<V>) -> Reference {
    Reference::to(kind_of::<V>(), seen.object())
}
