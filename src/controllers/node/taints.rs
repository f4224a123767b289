//! The taints that a node's conditions call for.

use crate::object::view::{Node, Taint};
use crate::object::{Timestamp, Tree, tree::json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, status, and the key of the taint that keeps new pods away.
const NO_SCHEDULE: &[(&str, &str, &str)] = &[
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// What the node's taints should be; `evict` says whether pods may be driven off dead nodes.
pub fn wanted(node: &Node, evict: bool, now: Timestamp) -> Vec<Taint> {
    let mut ours: Vec<(&str, &str)> = Vec::new();
    for (condition, status, key) in NO_SCHEDULE {
        if node.condition(condition).is_some_and(|condition| condition.status == *status) {
            ours.push((key, "NoSchedule"));
        }
    }
    if node.spec.unschedulable {
        ours.push((UNSCHEDULABLE, "NoSchedule"));
    }
    match node.condition("Ready").map(|ready| ready.status.as_str()) {
        Some("False") if evict => ours.push((NOT_READY, "NoExecute")),
        Some("Unknown") if evict => ours.push((UNREACHABLE, "NoExecute")),
        _ => (),
    }
    let is_ours = |taint: &Taint| {
        let by_condition = NO_SCHEDULE.iter().any(|(.., key)| *key == taint.key) || taint.key == UNSCHEDULABLE;
        let evicting = matches!(taint.key.as_str(), NOT_READY | UNREACHABLE);
        (taint.effect == "NoSchedule" && by_condition) || (taint.effect == "NoExecute" && evicting)
    };
    let stays = |taint: &&Taint| !is_ours(taint) || ours.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> = node.spec.taints.iter().filter(stays).cloned().collect();
    for (key, effect) in ours {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            let time_added = Some(now);
            taints.push(Taint { key: key.into(), effect: effect.into(), value: String::new(), time_added });
        }
    }
    taints
}

pub fn to_tree(taint: &Taint) -> Tree {
    let mut tree = json!({"key": taint.key, "effect": taint.effect});
    if !taint.value.is_empty() {
        tree["value"] = taint.value.as_str().into();
    }
    if let Some(time) = taint.time_added {
        tree["timeAdded"] = time.into();
    }
    tree
}
