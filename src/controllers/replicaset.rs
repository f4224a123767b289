//! ReplicaSet and ReplicationController: keep `spec.replicas` pods matching the selector alive.
//!
//! Touches only pods it controls or may adopt. Status reports pods seen, not pods wished for.

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Told, Wake};
use crate::controllers::shared::conditions::{Conditions, condition};
use crate::controllers::shared::ownership::{claim, would_adopt};
use crate::controllers::shared::pods::{availability, deletion_order, from_template, name_prefix};
use crate::controllers::shared::status::sparse;
use crate::object::kind::{POD, REPLICA_SET, REPLICATION_CONTROLLER};
use crate::object::tree::{from_tree, json};
use crate::object::view::{LabelSelector, Pod, Raw, ReplicaSet, ReplicaSetStatus, ReplicationController};
use crate::object::{Key, StringMap, Tree, TreePath, View};

pub static REPLICA_SETS: Controller = Controller {
    name: "replicaset-controller",
    component: "replicaset-controller",
    kind: Some(&REPLICA_SET),
    woken_by: &[Wake::OwnerOf(&POD), Wake::By(&POD, |snap, change| adopters::<ReplicaSet>(snap, change))],
    reconcile: |snap, key, plan| reconcile::<ReplicaSet>(snap, key, plan),
};

pub static REPLICATION_CONTROLLERS: Controller = Controller {
    name: "replication-controller",
    component: "replication-controller",
    kind: Some(&REPLICATION_CONTROLLER),
    woken_by: &[Wake::OwnerOf(&POD), Wake::By(&POD, |snap, change| adopters::<ReplicationController>(snap, change))],
    reconcile: |snap, key, plan| reconcile::<ReplicationController>(snap, key, plan),
};

/// Pods created or deleted in one go; the rest follows when these have been seen.
const BURST_MAX: usize = 500;

/// What the two kinds have in common.
trait Replicated: View {
    fn replicas(&self) -> usize;
    fn selector(&self) -> LabelSelector;
    fn template(&self) -> &Raw;
    fn min_ready_secs(&self) -> i64;
    fn status(&self) -> &ReplicaSetStatus;
    const COUNTS_TERMINATING: bool;
}

impl Replicated for ReplicaSet {
    const COUNTS_TERMINATING: bool = true;

    fn replicas(&self) -> usize {
        usize::try_from(self.spec.replicas.unwrap_or(1)).unwrap_or(0)
    }

    fn selector(&self) -> LabelSelector {
        self.spec.selector.clone()
    }

    fn template(&self) -> &Raw {
        &self.spec.template
    }

    fn min_ready_secs(&self) -> i64 {
        self.spec.min_ready_seconds
    }

    fn status(&self) -> &ReplicaSetStatus {
        &self.status
    }
}

impl Replicated for ReplicationController {
    const COUNTS_TERMINATING: bool = false;

    fn replicas(&self) -> usize {
        usize::try_from(self.spec.replicas.unwrap_or(1)).unwrap_or(0)
    }

    fn selector(&self) -> LabelSelector {
        LabelSelector::of(self.spec.selector.clone())
    }

    fn template(&self) -> &Raw {
        &self.spec.template
    }

    fn min_ready_secs(&self) -> i64 {
        self.spec.min_ready_seconds
    }

    fn status(&self) -> &ReplicaSetStatus {
        &self.status
    }
}

fn adopters<V: Replicated>(snap: &Snapshot, change: &Change) -> Vec<Key> {
    would_adopt::<V>(snap, change, V::selector)
}

fn reconcile<V: Replicated>(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(set) = snap.get::<V>(key) else { return }; // gone: the garbage collector takes its pods
    let pods = claim::<V, Pod>(snap, &set, &set.selector(), |pod| pod.is_active(), plan);
    if !set.is_deleting() {
        close_gap(snap, &set, &pods, plan);
    }
    plan.status(&set, status_of(snap, &set, &pods, plan));
    if let Some(soonest) = next_available(snap, &set, &pods) {
        plan.again_after(soonest);
    }
}

fn close_gap<V: Replicated>(snap: &Snapshot, set: &Seen<V>, pods: &[Seen<Pod>], plan: &mut Plan) {
    let wanted = set.replicas();
    if pods.len() < wanted {
        let mut pod = from_template(set, &set.template().tree());
        pod.set("metadata.generateName", name_prefix(set.name()));
        for _ in 0..(wanted - pods.len()).min(BURST_MAX) {
            plan.create_and_tell(&POD, pod.clone(), Told::pod_created(set));
        }
    } else if pods.len() > wanted {
        let extra = (pods.len() - wanted).min(BURST_MAX);
        for pod in deletion_order(snap, pods.to_vec()).iter().take(extra) {
            plan.delete(pod, Some(Told::pod_deleted(set)));
        }
    }
}

fn status_of<V: Replicated>(snap: &Snapshot, set: &Seen<V>, pods: &[Seen<Pod>], plan: &Plan) -> Tree {
    let now = snap.now();
    let labels: StringMap = template_labels(&set.template().tree());
    let count = |holds: &dyn Fn(&Seen<Pod>) -> bool| pods.iter().filter(|pod| holds(pod)).count();
    let available = |pod: &Seen<Pod>| availability(pod, set.min_ready_secs(), now).is_some_and(|left| left.is_zero());
    let labelled = |pod: &Seen<Pod>| labels.iter().all(|(key, value)| pod.meta().labels.get(key) == Some(value));
    let terminating = || {
        let mine = snap.owned_by::<Pod>(set.uid());
        mine.iter().filter(|pod| pod.is_deleting() && !pod.is_terminal() && labels_match(set, pod)).count()
    };
    let mut status = json!({
        "replicas": pods.len(),
        "fullyLabeledReplicas": count(&labelled),
        "readyReplicas": count(&|pod| pod.is_ready()),
        "availableReplicas": count(&available),
        "observedGeneration": set.meta().generation,
        "conditions": conditions(snap, set, pods, plan).to_tree(),
    });
    if V::COUNTS_TERMINATING {
        status.set("terminatingReplicas", terminating());
    }
    sparse(status, &["replicas", "terminatingReplicas"])
}

fn labels_match<V: Replicated>(set: &Seen<V>, pod: &Seen<Pod>) -> bool {
    set.selector().matches(&pod.meta().labels)
}

/// `ReplicaFailure` says why the last attempt to create or delete pods failed, until one succeeds.
fn conditions<V: Replicated>(snap: &Snapshot, set: &Seen<V>, pods: &[Seen<Pod>], plan: &Plan) -> Conditions {
    let mut conditions = Conditions::of(&set.status().conditions);
    let failure = plan.failure().filter(|failure| matches!(failure.verb, "create" | "delete"));
    match failure {
        None => conditions.remove("ReplicaFailure"),
        Some(failure) if conditions.get("ReplicaFailure").is_none() => {
            let reason = if pods.len() < set.replicas() { "FailedCreate" } else { "FailedDelete" };
            conditions.set(condition("ReplicaFailure", "True", reason, &failure.message, snap.now()));
        }
        Some(_) => (),
    }
    conditions
}

/// When the next ready pod will have been ready for long enough.
fn next_available<V: Replicated>(snap: &Snapshot, set: &Seen<V>, pods: &[Seen<Pod>]) -> Option<std::time::Duration> {
    let left = pods.iter().filter_map(|pod| availability(pod, set.min_ready_secs(), snap.now()));
    left.filter(|left| !left.is_zero()).min()
}

fn template_labels(template: &Tree) -> StringMap {
    template.at("metadata.labels").and_then(|labels| from_tree(labels).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::runtime::Failure;
    use crate::controllers::testing;
    use crate::object::Reason;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(situation: &str, expect: Expect) {
        testing::check(&REPLICA_SETS, situation, expect);
    }

    #[test]
    fn missing_pods_are_created() {
        check(
            "
            rs  web    replicas=2
            pod web-a  owner=web node=n1 ready
            ",
            expect![[r#"
                create pod/web-* app=web
                status replicaset/web availableReplicas=1 fullyLabeledReplicas=1 observedGeneration=1 readyReplicas=1 replicas=1 terminatingReplicas=0
            "#]],
        );
    }

    #[test]
    fn extra_pods_go_unscheduled_first() {
        check(
            "
            rs  web    replicas=1
            pod web-a  owner=web node=n1 ready
            pod web-b  owner=web
            ",
            expect![[r#"
                delete pod/web-b
                status replicaset/web availableReplicas=1 fullyLabeledReplicas=2 observedGeneration=1 readyReplicas=1 replicas=2 terminatingReplicas=0
            "#]],
        );
    }

    #[test]
    fn orphans_are_adopted_and_strangers_released() {
        check(
            "
            rs  web    replicas=1
            pod web-a  owner=web labels=app:other
            pod lost   labels=app:web
            pod gone   labels=app:web phase=Succeeded
            ",
            expect![[r#"
                patch pod/web-a {"metadata":{"ownerReferences":[{"$patch":"delete","uid":"rs-web"}],"uid":"pod-web-a"}}
                patch pod/lost {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"rs-web"}],"uid":"pod-lost"}}
                status replicaset/web fullyLabeledReplicas=1 observedGeneration=1 replicas=1 terminatingReplicas=0
            "#]],
        );
    }

    #[test]
    fn ready_pods_become_available_later() {
        check(
            "
            rs  web    replicas=1 spec.minReadySeconds=40
            pod web-a  owner=web node=n1 ready=30
            ",
            expect![[r#"
                status replicaset/web fullyLabeledReplicas=1 observedGeneration=1 readyReplicas=1 replicas=1 terminatingReplicas=0
                again after 10s
            "#]],
        );
    }

    #[test]
    fn a_refused_create_shows_in_the_status() {
        let failure = Failure { verb: "create", reason: Reason::Forbidden, message: "exceeded quota".into() };
        testing::check_after(
            &REPLICA_SETS,
            "rs web replicas=1",
            Some(failure),
            expect![[r#"
                create pod/web-* app=web
                status replicaset/web ReplicaFailure=True(FailedCreate) observedGeneration=1 replicas=0 terminatingReplicas=0
            "#]],
        );
    }

    #[test]
    fn a_deleted_set_only_reports() {
        check(
            "
            rs  web    replicas=2 deleting
            pod web-a  owner=web
            ",
            expect![[r#"
                status replicaset/web fullyLabeledReplicas=1 observedGeneration=1 replicas=1 terminatingReplicas=0
            "#]],
        );
    }
}
