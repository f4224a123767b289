//! Taint eviction: pods leave nodes whose `NoExecute` taints they do not tolerate (any longer).

use std::time::Duration;

use crate::client::{Change, NoteKind, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::conditions::{condition, to_tree};
use crate::object::kind::{NODE, POD};
use crate::object::tree::json;
use crate::object::view::{Node, Pod, Taint};
use crate::object::{Key, PatchKind, Timestamp};

pub static CONTROLLER: Controller = Controller {
    name: "node-controller",
    component: "taint-eviction-controller",
    kind: Some(&POD),
    woken_by: &[Wake::By(&NODE, pods_on_retainted_node)],
    reconcile,
};

fn pods_on_retainted_node(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let taints = |node: &Option<_>| node.as_ref().and_then(Seen::<Node>::new).map(|node| no_execute(&node));
    let (before, after) = (taints(&change.before), taints(&change.after));
    let Some(node) = change.after.as_ref().filter(|_| before.unwrap_or_default() != after.unwrap_or_default()) else {
        return Vec::new();
    };
    snap.pods_on_node(node.key().name()).iter().map(|pod| pod.key().clone()).collect()
}

fn no_execute(node: &Node) -> Vec<Taint> {
    node.spec.taints.iter().filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(pod) = snap.get::<Pod>(key).filter(|pod| pod.is_scheduled() && pod.is_active()) else { return };
    let Some(node) = snap.find::<Node>("", &pod.spec.node_name) else { return };
    match leaves_at(&pod, &no_execute(&node), snap.now()) {
        None => (),
        Some(when) if when > snap.now() => plan.again_after(when.since(snap.now()) + Duration::from_millis(10)),
        Some(_) => evict(snap, &pod, plan),
    }
}

/// When the pod has to go: at the first taint nobody tolerates, or when the shortest toleration ends.
fn leaves_at(pod: &Pod, taints: &[Taint], now: Timestamp) -> Option<Timestamp> {
    let mut earliest: Option<Timestamp> = None;
    for taint in taints {
        let mut tolerations = pod.spec.tolerations.iter().filter(|toleration| toleration.tolerates(taint)).peekable();
        let since = taint.time_added.unwrap_or(now);
        if tolerations.peek().is_none() {
            return Some(since.min(now));
        }
        let shortest = tolerations.filter_map(|toleration| toleration.toleration_seconds).min();
        if let Some(seconds) = shortest {
            let end = since + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            earliest = Some(earliest.map_or(end, |known| known.min(end)));
        }
    }
    earliest
}

fn evict(snap: &Snapshot, pod: &Seen<Pod>, plan: &mut Plan) {
    let message = "Taint manager: deleting due to NoExecute taint";
    let target = condition("DisruptionTarget", "True", "DeletionByTaintManager", message, snap.now());
    if pod.condition("DisruptionTarget").is_none_or(|old| !old.is_true()) {
        let body = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [to_tree(&target)]}});
        plan.patch_status(&POD, pod.key(), PatchKind::Strategic, body);
    }
    let message = format!("Marking for deletion Pod {}/{}", pod.namespace(), pod.name());
    plan.event(pod, NoteKind::Normal, "TaintManagerEviction", message);
    plan.delete(pod, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    const NODE: &str = r#"node n1 spec.taints=[{"key":"k","effect":"NoExecute","timeAdded":"2027-01-15T07:59:00Z"}]"#;

    #[test]
    fn untolerated_taints_evict_at_once() {
        check(
            &CONTROLLER,
            &format!("{NODE}\n pod web node=n1"),
            expect![[r#"
            patch pod/web/status {"metadata":{"uid":"pod-web"},"status":{"conditions":[{"lastTransitionTime":"2027-01-15T08:00:00Z","message":"Taint manager: deleting due to NoExecute taint","reason":"DeletionByTaintManager","status":"True","type":"DisruptionTarget"}]}}
            event pod/web Normal TaintManagerEviction: Marking for deletion Pod default/web
            delete pod/web
        "#]],
        );
    }

    #[test]
    fn tolerations_give_time() {
        let tolerating = |seconds: u32| {
            format!(
                r#"pod web node=n1 spec.tolerations=[{{"key":"k","operator":"Exists","tolerationSeconds":{seconds}}}]"#
            )
        };
        check(
            &CONTROLLER,
            &format!("{NODE}\n {}", tolerating(300)),
            expect![[r#"
            again after 240.01s
        "#]],
        );
        check(
            &CONTROLLER,
            &format!("{NODE}\n {}", tolerating(30)),
            expect![[r#"
            patch pod/web/status {"metadata":{"uid":"pod-web"},"status":{"conditions":[{"lastTransitionTime":"2027-01-15T08:00:00Z","message":"Taint manager: deleting due to NoExecute taint","reason":"DeletionByTaintManager","status":"True","type":"DisruptionTarget"}]}}
            event pod/web Normal TaintManagerEviction: Marking for deletion Pod default/web
            delete pod/web
        "#]],
        );
    }
}
