//! Who controls whom: adopting what matches, letting go of what no longer does.

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::Plan;
use crate::controllers::runtime::plan::kind_of;
use crate::object::tree::json;
use crate::object::view::LabelSelector;
use crate::object::{Key, ObjectRef, PatchKind, Tree, View};

/// The reference that makes `owner` the controller of what carries it.
pub fn controller_ref<V: View>(owner: &Seen<V>) -> Tree {
    let kind = kind_of::<V>();
    json!({
        "apiVersion": kind.api_version(), "kind": kind.kind, "name": owner.name(), "uid": owner.uid(),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// The objects of `V` that `owner` controls after this plan: its own that still match, and orphans
/// in its namespace that do. Only objects that `counts` holds for are looked at. An owner that is
/// being deleted adopts nothing and releases nothing.
pub fn claim<O: View, V: View>(
    snap: &Snapshot,
    owner: &Seen<O>,
    selector: &LabelSelector,
    counts: impl Fn(&Seen<V>) -> bool,
    plan: &mut Plan,
) -> Vec<Seen<V>> {
    let kind = kind_of::<V>();
    let mut claimed = Vec::new();
    for object in snap.owned_by::<V>(owner.uid()) {
        if object.namespace() != owner.namespace() || !counts(&object) {
            continue;
        }
        if selector.matches(&object.meta().labels) {
            claimed.push(object);
        } else if !owner.is_deleting() {
            plan.patch(kind, object.key(), PatchKind::Strategic, release(&object, owner.uid()));
        }
    }
    if owner.is_deleting() || selector.is_empty() {
        return claimed;
    }
    for object in snap.orphans::<V>(owner.namespace()) {
        if selector.matches(&object.meta().labels) && !object.is_deleting() && counts(&object) {
            plan.patch(kind, object.key(), PatchKind::Strategic, adopt(&object, owner));
            claimed.push(object);
        }
    }
    claimed
}

fn adopt<O: View, V: View>(object: &Seen<V>, owner: &Seen<O>) -> Tree {
    json!({"metadata": {"ownerReferences": [controller_ref(owner)], "uid": object.uid()}})
}

fn release<V: View>(object: &Seen<V>, owner_uid: &str) -> Tree {
    json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": owner_uid}], "uid": object.uid()}})
}

/// Owners of `O` whose selector matches an object that nobody controls: they may adopt it.
pub fn would_adopt<O: View>(snap: &Snapshot, change: &Change, selector: impl Fn(&O) -> LabelSelector) -> Vec<Key> {
    let Some(object) = change.after.as_ref().filter(|object| is_orphan(object)) else { return Vec::new() };
    let owners = snap.list::<O>(object.key().namespace()).into_iter();
    owners
        .filter(|owner| {
            let selector = selector(owner);
            !selector.is_empty() && selector.matches(&object.meta().labels)
        })
        .map(|owner| owner.key().clone())
        .collect()
}

fn is_orphan(object: &ObjectRef) -> bool {
    object.meta().controller().is_none() && !object.meta().is_deleting()
}
