//! Garbage collector: deletes what has lost all its owners, and orders deletions that ask for it.
//!
//! The owner graph is the snapshot's index by owner uid; nothing is remembered between calls. An
//! owner counts as gone only after the server, too, has said so. Foreground deletion keeps an owner
//! until its blocking dependents are gone; orphaning cuts the references first.

use crate::client::{Change, DeleteOptions, Propagation, Snapshot};
use crate::controllers::runtime::plan::Step;
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::tree::{json, to_tree};
use crate::object::{Key, Kind, ObjectRef, OwnerReference, PatchKind, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "generic-garbage-collector",
    component: "garbage-collector-controller",
    kind: None,
    woken_by: &[Wake::Any(concerned)],
    reconcile,
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The changed object if it has owners or is on its way out, its dependents if it is going, and
/// those of its owners that wait for it.
fn concerned(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(object) = change.latest() else { return Vec::new() };
    let meta = object.meta();
    let mut keys = Vec::new();
    let present = change.after.is_some();
    if present
        && (!meta.owner_references.is_empty() || has_finalizer(object, FOREGROUND) || has_finalizer(object, ORPHAN))
    {
        keys.push(object.key().clone());
    }
    if !present || meta.is_deleting() {
        keys.extend(snap.dependents(meta.uid()).map(|dependent| dependent.key().clone()));
    }
    let owners = change.states().flat_map(|state| &state.meta().owner_references);
    let waiting = owners.filter_map(|owner| owner_object(snap, object, owner)).filter(|owner| waits(owner));
    keys.extend(waiting.map(|owner| owner.key().clone()));
    keys
}

fn has_finalizer(object: &ObjectRef, name: &str) -> bool {
    object.meta().finalizers.iter().any(|finalizer| finalizer == name)
}

/// Whether an owner is being deleted and holds out for its dependents.
fn waits(owner: &ObjectRef) -> bool {
    owner.meta().is_deleting() && has_finalizer(owner, FOREGROUND)
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(object) = snap.object(key) else { return };
    let Some(kind) = snap.kind_of(key) else { return };
    if !object.meta().is_deleting() {
        collect(snap, kind, object, plan);
    } else if has_finalizer(object, ORPHAN) {
        orphan_dependents(snap, kind, object, plan);
    } else if has_finalizer(object, FOREGROUND) {
        let blocked = snap.dependents(object.meta().uid()).any(|dependent| blocks(dependent, object.meta().uid()));
        if !blocked {
            remove_finalizer(kind, object, FOREGROUND, plan);
        }
    }
}

fn blocks(dependent: &ObjectRef, owner_uid: &str) -> bool {
    let references = dependent.meta().owner_references.iter();
    references.into_iter().any(|owner| owner.uid == owner_uid && owner.block_owner_deletion == Some(true))
}

/// What an owner reference leads to.
enum Owner {
    Solid,
    Waiting,
    /// Not in the snapshot; where the server should be asked for it.
    Gone(Kind, Key),
}

fn collect(snap: &Snapshot, kind: &Kind, object: &ObjectRef, plan: &mut Plan) {
    let references = &object.meta().owner_references;
    let owners: Vec<(&OwnerReference, Owner)> =
        references.iter().map(|reference| (reference, look_up(snap, object, reference))).collect();
    let has_solid = owners.iter().any(|(_, owner)| matches!(owner, Owner::Solid));
    let has_waiting = owners.iter().any(|(_, owner)| matches!(owner, Owner::Waiting));
    let gone: Vec<(Kind, Key, String)> = owners
        .iter()
        .filter_map(|(reference, owner)| match owner {
            Owner::Gone(kind, key) => Some((kind.clone(), key.clone(), reference.uid.clone())),
            _ => None,
        })
        .collect();
    if references.is_empty() || (has_solid && gone.is_empty() && !has_waiting) {
        return;
    }
    if !gone.is_empty() {
        plan.steps.push(Step::EndIfAny(gone));
    }
    if has_solid {
        let kept = owners.iter().filter(|(_, owner)| matches!(owner, Owner::Solid)).map(|(reference, _)| *reference);
        return keep_owners(kind, object, kept.collect(), plan);
    }
    let uid = object.meta().uid();
    let has_dependents = snap.dependents(uid).next().is_some();
    if has_waiting && has_dependents && snap.dependents(uid).any(waits) {
        unblock_owners(kind, object, plan);
    }
    let propagation = match () {
        () if has_waiting && has_dependents => Propagation::Foreground,
        () if has_finalizer(object, ORPHAN) => Propagation::Orphan,
        () if has_finalizer(object, FOREGROUND) => Propagation::Foreground,
        () => Propagation::Background,
    };
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::of_uid(uid) };
    plan.steps.push(Step::Delete { kind: kind.clone(), key: object.key().clone(), options, told: None });
}

fn look_up(snap: &Snapshot, object: &ObjectRef, reference: &OwnerReference) -> Owner {
    let Some(kind) = snap.kind_named(&reference.api_version, &reference.kind) else {
        // Of a kind that is not served (now): better to keep too much than too little.
        return Owner::Solid;
    };
    if kind.namespaced && object.key().namespace().is_empty() {
        return Owner::Solid; // such a reference is invalid, and no reason to delete anything
    }
    match owner_object(snap, object, reference) {
        Some(owner) if waits(owner) => Owner::Waiting,
        Some(_) => Owner::Solid,
        None => Owner::Gone(kind.clone(), kind.key(object.key().namespace(), &reference.name)),
    }
}

fn owner_object<'s>(snap: &'s Snapshot, object: &ObjectRef, reference: &OwnerReference) -> Option<&'s ObjectRef> {
    let kind = snap.kind_named(&reference.api_version, &reference.kind)?;
    let owner = snap.object(&kind.key(object.key().namespace(), &reference.name))?;
    (owner.meta().uid() == reference.uid).then_some(owner)
}

fn keep_owners(kind: &Kind, object: &ObjectRef, kept: Vec<&OwnerReference>, plan: &mut Plan) {
    patch_meta(kind, object, "ownerReferences", to_tree(&kept), plan);
}

/// Breaks a circle of objects that wait for each other.
fn unblock_owners(kind: &Kind, object: &ObjectRef, plan: &mut Plan) {
    let owners = object.meta().owner_references.iter().cloned();
    let unblocked: Vec<OwnerReference> =
        owners.map(|owner| OwnerReference { block_owner_deletion: Some(false), ..owner }).collect();
    patch_meta(kind, object, "ownerReferences", to_tree(&unblocked), plan);
}

fn orphan_dependents(snap: &Snapshot, kind: &Kind, object: &ObjectRef, plan: &mut Plan) {
    let uid = object.meta().uid();
    for dependent in snap.dependents(uid) {
        let Some(kind) = snap.kind_of(dependent.key()) else { continue };
        let kept = dependent.meta().owner_references.iter().filter(|owner| owner.uid != *uid).collect();
        keep_owners(kind, dependent, kept, plan);
    }
    remove_finalizer(kind, object, ORPHAN, plan);
}

fn remove_finalizer(kind: &Kind, object: &ObjectRef, name: &str, plan: &mut Plan) {
    let kept: Vec<&String> = object.meta().finalizers.iter().filter(|finalizer| *finalizer != name).collect();
    patch_meta(kind, object, "finalizers", to_tree(&kept), plan);
}

/// Replaces a list in the metadata of this very state of the object.
fn patch_meta(kind: &Kind, object: &ObjectRef, field: &str, list: crate::object::Tree, plan: &mut Plan) {
    let mut body = json!({"metadata": {
        "uid": object.meta().uid(), "resourceVersion": object.revision().to_string(),
    }});
    body.set(&format!("metadata.{field}"), list);
    plan.patch(kind, object.key(), PatchKind::Merge, body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check_key;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(key: &str, situation: &str, expect: Expect) {
        check_key(&CONTROLLER, &Key::parse(key).unwrap(), situation, expect);
    }

    #[test]
    fn what_lost_its_owner_goes() {
        let orphaned = r#"metadata.ownerReferences=[{"apiVersion":"v1","kind":"ConfigMap","name":"ghost","uid":"u"}]"#;
        check(
            "pods/default/web",
            &format!("pod web {orphaned}"),
            expect![[r#"
            end if there is configmap/ghost
            delete pod/web propagation=Background
        "#]],
        );
        check("pods/default/web", "configmap owner\n pod web owner=owner", expect![[""]]);
    }

    #[test]
    fn a_dead_owner_beside_a_living_one_is_only_struck_out() {
        let two = r#"metadata.ownerReferences=[{"apiVersion":"v1","kind":"ConfigMap","name":"ghost","uid":"u"},{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"configmap-owner"}]"#;
        check(
            "pods/default/web",
            &format!("configmap owner\n pod web {two}"),
            expect![[r#"
            end if there is configmap/ghost
            patch pod/web {"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"configmap-owner"}],"resourceVersion":"2","uid":"pod-web"}}
        "#]],
        );
    }

    #[test]
    fn foreground_deletion_waits_for_blocking_dependents() {
        let owner = "rs web deleting finalizer=foregroundDeletion";
        check("replicasets.apps/default/web", &format!("{owner}\n pod a owner=web"), expect![[""]]);
        check(
            "pods/default/a",
            &format!("{owner}\n pod a owner=web"),
            expect![[r#"
            delete pod/a propagation=Background
        "#]],
        );
        check(
            "replicasets.apps/default/web",
            owner,
            expect![[r#"
            patch replicaset/web {"metadata":{"finalizers":[],"resourceVersion":"1","uid":"rs-web"}}
        "#]],
        );
    }

    #[test]
    fn orphaning_cuts_the_references_first() {
        check(
            "replicasets.apps/default/web",
            "rs web deleting finalizer=orphan\n pod a owner=web",
            expect![[r#"
            patch pod/a {"metadata":{"ownerReferences":[],"resourceVersion":"2","uid":"pod-a"}}
            patch replicaset/web {"metadata":{"finalizers":[],"resourceVersion":"1","uid":"rs-web"}}
        "#]],
        );
    }

    #[test]
    fn owners_of_unknown_kinds_count_as_alive() {
        let strange = r#"metadata.ownerReferences=[{"apiVersion":"x.y/v1","kind":"Thing","name":"t","uid":"u"}]"#;
        check("pods/default/web", &format!("pod web {strange}"), expect![[""]]);
    }
}
