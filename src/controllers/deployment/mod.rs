//! Deployment: rolls a pod template out by moving replicas between replica sets.
//!
//! One replica set per template, recognised by comparing templates, named by their hash. The new
//! set grows and the old ones shrink within `maxSurge` and `maxUnavailable`; how far that has come
//! is judged from the sets' statuses alone. Old sets stay, scaled to zero, for rollbacks.

mod revision;
mod rollout;
mod scale;
mod status;

use crate::client::{Change, Note, Seen, Snapshot};
use crate::controllers::runtime::plan::reference;
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::ownership::{claim, would_adopt};
use crate::object::kind::{DEPLOYMENT, POD, REPLICA_SET};
use crate::object::view::{Deployment, Pod, ReplicaSet};
use crate::object::{Key, Kind, TreePath};

use rollout::Rollout;

pub static CONTROLLER: Controller = Controller {
    name: "deployment-controller",
    component: "deployment-controller",
    kind: Some(&DEPLOYMENT),
    woken_by: &[
        Wake::OwnerOf(&REPLICA_SET),
        Wake::By(&REPLICA_SET, |snap, change| {
            would_adopt::<Deployment>(snap, change, |deployment| deployment.spec.selector.clone())
        }),
        Wake::By(&POD, owner_of_ended_pod),
    ],
    reconcile,
};

/// A recreating deployment waits for its last old pod to go.
fn owner_of_ended_pod(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let set = change.latest().and_then(|pod| {
        let owner = pod.meta().controller().filter(|owner| owner.kind == "ReplicaSet")?;
        let ended = change.after.as_ref().and_then(Seen::<Pod>::new).is_none_or(|pod| pod.is_terminal());
        snap.find::<ReplicaSet>(pod.key().namespace(), &owner.name).filter(|_| ended)
    });
    let owner = set.and_then(|set| {
        let owner = set.meta().controller()?;
        let is_deployment = Kind::of_reference(&owner.api_version, &owner.kind) == Some(&DEPLOYMENT);
        is_deployment.then(|| DEPLOYMENT.key(set.namespace(), &owner.name))
    });
    owner.into_iter().collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(deployment) = snap.get::<Deployment>(key) else { return };
    if deployment.spec.selector.is_empty() {
        return refuse_to_select_all(&deployment, plan);
    }
    let sets = claim::<Deployment, ReplicaSet>(snap, &deployment, &deployment.spec.selector, |_| true, plan);
    let mut rollout = Rollout::new(&deployment, sets);
    let mut status = status::Progress::of(&deployment, snap.now());
    if !deployment.is_deleting() {
        advance(snap, &deployment, &mut rollout, &mut status, plan);
    }
    rollout.write(plan);
    status.write(&rollout, plan);
}

fn refuse_to_select_all(deployment: &Seen<Deployment>, plan: &mut Plan) {
    let message = "This deployment is selecting all pods. A non-empty selector is required.";
    plan.note(Note::warning(reference(deployment), "SelectingAll", message));
    plan.update_status(deployment, |object| {
        object.set("status.observedGeneration", deployment.meta().generation);
    });
}

/// The next step of the rollout.
fn advance(
    snap: &Snapshot,
    deployment: &Seen<Deployment>,
    rollout: &mut Rollout,
    status: &mut status::Progress,
    plan: &mut Plan,
) {
    status.note_pause();
    rollout.annotate_new();
    status.note_found(rollout);
    if deployment.spec.paused || rollout.was_rescaled() {
        rollout.scale_proportionally();
        if deployment.spec.paused {
            rollout.clean_up(plan);
        }
        return status.only_count();
    }
    if deployment.spec.strategy.kind == "Recreate" {
        let scaled_down = rollout.scale_down_all_old();
        if scaled_down || old_pods_run(snap, rollout) {
            return;
        }
    }
    if !rollout.has_new() {
        return start(snap, rollout, status, plan);
    }
    if !rollout.scale_up_new() && deployment.spec.strategy.kind != "Recreate" {
        let scaled_down = rollout.scale_down_old();
        if scaled_down {
            return;
        }
    }
    if status::is_complete(deployment, &deployment.status) {
        rollout.clean_up(plan);
    }
}

/// Creates the new replica set, unless its name is taken by a set with another template.
fn start(snap: &Snapshot, rollout: &mut Rollout, status: &mut status::Progress, plan: &mut Plan) {
    let name = rollout.new_name();
    if let Some(taken) = snap.object(&REPLICA_SET.key(rollout.namespace(), &name)) {
        tracing::debug!(set = %taken.key(), "template hash collides; trying another");
        return status.note_collision();
    }
    match plan.failure().filter(|failure| failure.verb == "create") {
        Some(failure) => status.note_create_failed(&name, &failure.message),
        None => status.note_created(&name),
    }
    rollout.create_new(&name, plan);
}

fn old_pods_run(snap: &Snapshot, rollout: &Rollout) -> bool {
    rollout
        .old_sets()
        .any(|set| set.status.replicas > 0 || snap.owned_by::<Pod>(set.uid()).iter().any(|pod| !pod.is_terminal()))
}

#[cfg(test)]
mod tests;
