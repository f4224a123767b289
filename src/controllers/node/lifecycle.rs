//! Node lifecycle: a node that is not heard of becomes `Unknown`, and conditions become taints.
//!
//! A heartbeat is a renewal of the node's lease, timed on our own clock. While every node of the
//! cluster is silent the fault is likely ours, and no pod is driven off.

use std::time::Duration;

use super::taints;
use crate::client::{Change, NoteKind, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::conditions::{self, Conditions, condition};
use crate::object::kind::{LEASE, NODE, POD};
use crate::object::tree::json;
use crate::object::view::{Condition, Node};
use crate::object::{Key, Timestamp, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "node-controller",
    component: "node-controller",
    kind: Some(&NODE),
    woken_by: &[Wake::By(&LEASE, node_of_new_lease), Wake::By(&NODE, nodes_if_readiness_changed)],
    reconcile,
};

/// How long a node may be silent.
const GRACE: Duration = Duration::from_secs(40);
/// The same for one that never said anything.
const STARTUP_GRACE: Duration = Duration::from_secs(60);
const LEASES: &str = "kube-node-lease";
/// Conditions that only the node itself can know.
const REPORTED: &[&str] = &["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Labels that older clients still read, and those they repeat.
const REPEATED_LABELS: &[(&str, &str)] =
    &[("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// Renewals need no attention; the node's timer looks at them when it fires.
fn node_of_new_lease(_: &Snapshot, change: &Change) -> Vec<Key> {
    let appeared = change.before.is_none() != change.after.is_none();
    let lease = change.latest().filter(|lease| appeared && lease.key().namespace() == LEASES);
    lease.map(|lease| NODE.key("", lease.key().name())).into_iter().collect()
}

/// Whether pods may be evicted depends on all nodes together.
fn nodes_if_readiness_changed(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let ready = |node: &Option<_>| node.as_ref().and_then(Seen::<Node>::new).map(|node| node.is_ready());
    if ready(&change.before) == ready(&change.after) {
        return Vec::new();
    }
    snap.list::<Node>("").iter().map(|node| node.key().clone()).collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(node) = snap.get::<Node>(key) else { return };
    let (deadline, known) = deadline(snap, &node);
    if snap.now() < deadline {
        plan.again_after(deadline.since(snap.now()) + Duration::from_millis(100));
    } else {
        mark_unknown(snap, &node, known, plan);
    }
    write_taints_and_labels(snap, &node, plan);
    if node.condition("Ready").is_some_and(|ready| !ready.is_true()) {
        mark_pods_not_ready(snap, &node, plan);
    }
}

/// When the node's silence will have been too long, and whether it was ever heard of.
fn deadline(snap: &Snapshot, node: &Seen<Node>) -> (Timestamp, bool) {
    let lease = snap.renewed_at(&LEASE.key(LEASES, node.name()));
    let beats = node.status.conditions.iter().filter_map(|condition| condition.last_heartbeat_time);
    match lease.into_iter().chain(beats).max() {
        Some(last) => (last + GRACE, true),
        None if node.condition("Ready").is_some() => {
            let since = node.condition("Ready").and_then(|ready| ready.last_transition_time);
            (since.or(node.meta().creation_timestamp).unwrap_or(snap.now()) + GRACE, true)
        }
        None => (node.meta().creation_timestamp.unwrap_or(snap.now()) + STARTUP_GRACE, false),
    }
}

fn mark_unknown(snap: &Snapshot, node: &Seen<Node>, known: bool, plan: &mut Plan) {
    let mut all = Conditions::of(&node.status.conditions);
    let was_ready = all.is_true("Ready");
    for kind in REPORTED {
        let (reason, message) = match all.get(kind) {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        let heartbeat = all.get(kind).and_then(|old| old.last_heartbeat_time).or(node.meta().creation_timestamp);
        if all.get(kind).is_some_and(|old| old.status == "Unknown") {
            continue;
        }
        let unknown = condition(kind, "Unknown", reason, message, snap.now());
        all.set_in_place(Condition { last_heartbeat_time: heartbeat, ..unknown });
    }
    let before = Conditions::of(&node.status.conditions);
    if all != before {
        plan.update_status(node, |object| {
            object.set("status.conditions", all.to_tree());
        });
    }
    if was_ready && known {
        let message = format!("Node {} status is now: NodeNotReady", node.name());
        plan.event(node, NoteKind::Normal, "NodeNotReady", message);
    }
}

fn write_taints_and_labels(snap: &Snapshot, node: &Seen<Node>, plan: &mut Plan) {
    let evict = snap.list::<Node>("").iter().any(|other| other.is_ready());
    let wanted = taints::wanted(node, evict, snap.now());
    plan.update(node, |object| {
        if wanted != node.spec.taints {
            object.unset("spec.taints");
            if !wanted.is_empty() {
                object.set("spec.taints", Tree::Array(wanted.iter().map(taints::to_tree).collect()));
            }
        }
        for (from, to) in REPEATED_LABELS {
            if let Some(value) = node.meta().label(from).filter(|value| node.meta().label(to) != Some(value)) {
                object["metadata"]["labels"][*to] = value.into();
            }
        }
    });
}

/// Pods of a silent node answer nobody: services should not send to them.
fn mark_pods_not_ready(snap: &Snapshot, node: &Seen<Node>, plan: &mut Plan) {
    for pod in snap.pods_on_node(node.name()).iter().filter(|pod| pod.is_ready()) {
        let mut all = Conditions::of(&pod.status.conditions);
        if let Some(ready) = pod.condition("Ready").cloned() {
            let (status, last_transition_time) = ("False".into(), Some(snap.now()));
            all.set_in_place(Condition { status, last_transition_time, ..ready });
        }
        let changed = all.iter().find(|condition| condition.kind == "Ready").map(conditions::to_tree);
        let body = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [changed]}});
        plan.patch_status(&POD, pod.key(), crate::object::PatchKind::Strategic, body);
        plan.event(pod, NoteKind::Warning, "NodeNotReady", "Node is not ready");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    const OTHER: &str = r#"node n2 status.conditions=[{"type":"Ready","status":"True"}]"#;

    #[test]
    fn a_silent_node_becomes_unknown_and_its_pods_not_ready() {
        check(
            &CONTROLLER,
            &format!(
                r#"
                node n1 age=500 status.conditions=[{{"type":"Ready","status":"True"}}]
                lease kube-node-lease/n1 spec.renewTime=2020-01-01T00:00:00.000000Z
                pod web node=n1 ready
                {OTHER}
                "#
            ),
            expect![[r#"
                status node/n1 Ready=Unknown(NodeStatusUnknown) MemoryPressure=Unknown(NodeStatusNeverUpdated) DiskPressure=Unknown(NodeStatusNeverUpdated) PIDPressure=Unknown(NodeStatusNeverUpdated)
                event node/n1 Normal NodeNotReady: Node n1 status is now: NodeNotReady
            "#]],
        );
    }

    #[test]
    fn a_dead_node_drives_its_pods_off_unless_all_are_dead() {
        let dead = r#"node n1 status.conditions=[{"type":"Ready","status":"Unknown"}]"#;
        check(
            &CONTROLLER,
            &format!("{dead}\n {OTHER}"),
            expect![[r#"
            status node/n1 Ready=Unknown MemoryPressure=Unknown(NodeStatusNeverUpdated) DiskPressure=Unknown(NodeStatusNeverUpdated) PIDPressure=Unknown(NodeStatusNeverUpdated)
            update node/n1
        "#]],
        );
        check(
            &CONTROLLER,
            dead,
            expect![[r#"
            status node/n1 Ready=Unknown MemoryPressure=Unknown(NodeStatusNeverUpdated) DiskPressure=Unknown(NodeStatusNeverUpdated) PIDPressure=Unknown(NodeStatusNeverUpdated)
            update node/n1
        "#]],
        );
    }

    #[test]
    fn a_ready_node_loses_the_taints_of_worse_days() {
        check(
            &CONTROLLER,
            r#"
            node n1 status.conditions=[{"type":"Ready","status":"True"}] spec.taints=[{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"},{"key":"mine","effect":"NoExecute"}]
            lease kube-node-lease/n1
            "#,
            expect![[r#"
                update node/n1
                again after 40.1s
            "#]],
        );
    }
}
