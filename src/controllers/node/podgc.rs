//! Pod GC: pods that no kubelet will ever finish deleting.
//!
//! Those bound to a node that does not exist, and those deleted before they were bound.

use crate::client::{Change, DeleteOptions, Seen, Snapshot};
use crate::controllers::runtime::plan::Step;
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::conditions::{condition, to_tree};
use crate::object::kind::{NODE, POD};
use crate::object::tree::json;
use crate::object::view::{Node, Pod};
use crate::object::{Key, PatchKind};

pub static CONTROLLER: Controller = Controller {
    name: "pod-garbage-collector",
    component: "pod-garbage-collector",
    kind: Some(&POD),
    woken_by: &[Wake::By(&NODE, pods_of_lost_node)],
    reconcile,
};

fn pods_of_lost_node(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let lost = change.before.as_ref().filter(|_| change.after.is_none());
    let pods = lost.map(|node| snap.pods_on_node(node.key().name())).unwrap_or_default();
    pods.iter().map(|pod| pod.key().clone()).collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(pod) = snap.get::<Pod>(key) else { return };
    if pod.is_deleting() && pod.meta().deletion_grace_period_seconds() == Some(0) {
        return; // whoever has a finalizer on it is next
    }
    if !pod.is_scheduled() {
        if pod.is_deleting() {
            delete_now(&pod, plan);
        }
        return;
    }
    if snap.find::<Node>("", &pod.spec.node_name).is_some() {
        return;
    }
    // The snapshot may know the pod before its node: the server must say that there is none.
    plan.steps.push(Step::EndIfAny(vec![(NODE.clone(), NODE.key("", &pod.spec.node_name), String::new())]));
    if !pod.is_terminal() {
        fail(snap, &pod, plan);
    }
    delete_now(&pod, plan);
}

fn fail(snap: &Snapshot, pod: &Seen<Pod>, plan: &mut Plan) {
    let target = condition("DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists", snap.now());
    let body = json!({
        "metadata": {"uid": pod.uid()}, "status": {"phase": "Failed", "conditions": [to_tree(&target)]},
    });
    plan.patch_status(&POD, pod.key(), PatchKind::Strategic, body);
}

fn delete_now(pod: &Seen<Pod>, plan: &mut Plan) {
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(pod.uid()) };
    plan.delete_with(pod, options, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn pods_of_absent_nodes_fail_and_go() {
        check(
            &CONTROLLER,
            "pod web node=gone phase=Running",
            expect![[r#"
            end if there is node/gone
            patch pod/web/status {"metadata":{"uid":"pod-web"},"status":{"conditions":[{"lastTransitionTime":"2027-01-15T08:00:00Z","message":"PodGC: node no longer exists","reason":"DeletionByPodGC","status":"True","type":"DisruptionTarget"}],"phase":"Failed"}}
            delete pod/web grace=0
        "#]],
        );
        check(&CONTROLLER, "pod web node=n1 phase=Running\n node n1", expect![[""]]);
    }

    #[test]
    fn deleted_pods_without_a_node_go_at_once() {
        check(
            &CONTROLLER,
            "pod web deleting",
            expect![[r#"
            delete pod/web grace=0
        "#]],
        );
        check(&CONTROLLER, "pod web", expect![[""]]);
        check(&CONTROLLER, "pod web deleting metadata.deletionGracePeriodSeconds=0 finalizer=a/b", expect![[""]]);
    }
}
