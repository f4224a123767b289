//! Pods of workloads: made from templates, judged by readiness, ranked for deletion.

use std::time::Duration;

use super::ownership::controller_ref;
use crate::client::{Seen, Snapshot};
use crate::object::tree::json;
use crate::object::view::Pod;
use crate::object::{Timestamp, Tree, TreePath, View};

/// A pod as `template` describes it, controlled by `owner`. Without a name yet.
pub fn from_template<V: View>(owner: &Seen<V>, template: &Tree) -> Tree {
    let mut metadata = json!({"namespace": owner.namespace(), "ownerReferences": [controller_ref(owner)]});
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.at("metadata").and_then(|meta| meta.get(field)) {
            metadata.set(field, value.clone());
        }
    }
    json!({"metadata": metadata, "spec": template.get("spec").cloned().unwrap_or_default()})
}

/// The prefix of generated pod names, cut so that the suffix still fits.
pub fn name_prefix(owner: &str) -> String {
    format!("{owner}-")
}

/// Ready for at least `min_ready_secs`.
pub fn is_available(pod: &Pod, min_ready_secs: i64, now: Timestamp) -> bool {
    availability(pod, min_ready_secs, now) == Some(Duration::ZERO)
}

/// How long until the pod is available if it stays ready: zero if it is, nothing if it is not ready.
pub fn availability(pod: &Pod, min_ready_secs: i64, now: Timestamp) -> Option<Duration> {
    let ready = pod.condition("Ready").filter(|condition| condition.is_true())?;
    let wanted = Duration::from_secs(min_ready_secs.max(0).unsigned_abs());
    if wanted.is_zero() {
        return Some(Duration::ZERO);
    }
    Some(wanted.saturating_sub(now.since(ready.last_transition_time?)))
}

/// Pods in the order in which too many of them should go: unassigned, pending, not ready, cheap to
/// delete, doubled up on a node, ready for a short time, restarted often, young.
pub fn deletion_order(snap: &Snapshot, mut pods: Vec<Seen<Pod>>) -> Vec<Seen<Pod>> {
    let now = snap.now();
    let mut on_node = std::collections::HashMap::<String, i64>::new();
    for pod in pods.iter().filter(|pod| pod.is_active()) {
        *on_node.entry(pod.spec.node_name.clone()).or_default() += 1;
    }
    pods.sort_by_cached_key(|pod| {
        let phase = match pod.status.phase.as_str() {
            "Pending" | "" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        let ready = pod.condition("Ready").filter(|condition| condition.is_true());
        let ready_age = ready.and_then(|ready| ready.last_transition_time).map_or(0, |since| age_bucket(now, since));
        let age = pod.meta().creation_timestamp.map_or(0, |since| age_bucket(now, since));
        (
            (pod.is_scheduled(), phase, ready.is_some(), deletion_cost(pod)),
            -on_node.get(&pod.spec.node_name).copied().unwrap_or(0),
            (ready_age, -max_restarts(pod), age),
            pod.uid().to_owned(),
        )
    });
    pods
}

/// Ages compare by their order of magnitude, so that pods of about the same age go at random.
fn age_bucket(now: Timestamp, since: Timestamp) -> u32 {
    let nanos = now.since(since).as_nanos().max(1);
    nanos.ilog2()
}

fn deletion_cost(pod: &Seen<Pod>) -> i64 {
    let cost = pod.meta().annotation("controller.kubernetes.io/pod-deletion-cost");
    cost.and_then(|cost| cost.parse::<i32>().ok()).map_or(0, i64::from)
}

fn max_restarts(pod: &Pod) -> i64 {
    pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0)
}
