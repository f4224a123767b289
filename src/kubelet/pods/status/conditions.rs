//! The conditions that the kubelet answers for; those of others are kept as they are.

use super::Facts;
use super::containers::Told;
use super::phase::Phase;
use crate::kubelet::pods::plan::Ending;
use crate::kubelet::spec::{Pod, Role};
use crate::object::tree::json;
use crate::object::{Timestamp, Tree};

/// Conditions that are recomputed at each status.
pub const OWNED: [&str; 7] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
];

/// Set by whoever ends a pod that would have gone on.
const DISRUPTION: &str = "DisruptionTarget";
/// The reason of such a condition that is ours.
pub const BY_KUBELET: &str = "TerminationByKubelet";

struct Condition {
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn yes(kind: &'static str) -> Self {
        Self { kind, holds: true, reason: "", message: String::new() }
    }

    fn no(kind: &'static str, reason: &'static str, message: String) -> Self {
        Self { kind, holds: false, reason, message }
    }
}

/// The whole list: others' conditions first, then ours in upstream's order.
pub fn conditions(facts: &Facts, told: &[Told], phase: Phase, has_sandbox: bool) -> Vec<Tree> {
    let Facts { pod, ending, now, .. } = *facts;
    let old = pod.status.get("conditions").and_then(Tree::as_array).map_or(&[][..], Vec::as_slice);
    let mut list: Vec<Tree> =
        old.iter().filter(|one| !OWNED.iter().any(|kind| one["type"] == *kind)).cloned().collect();
    if let Some(Ending::Evicted(eviction)) = ending
        && eviction.is_disruption
        && !list.iter().any(|one| one["type"] == DISRUPTION)
    {
        let reason = BY_KUBELET;
        let condition = Condition { reason, message: eviction.message.clone(), ..Condition::yes(DISRUPTION) };
        list.push(written(condition, old, pod.metadata.generation, now));
    }
    let pending = facts.pending.map(|pending| {
        let message = pending.message.clone();
        Condition { reason: pending.reason, message, ..Condition::yes("PodResizePending") }
    });
    let in_progress = facts.memory.resized.in_progress.then(|| Condition::yes("PodResizeInProgress"));
    for condition in pending.into_iter().chain(in_progress) {
        list.push(written(condition, old, pod.metadata.generation, now));
    }
    let sandbox = match has_sandbox {
        true => Condition::yes("PodReadyToStartContainers"),
        false => Condition::no("PodReadyToStartContainers", "", String::new()),
    };
    let containers = containers_ready(told, phase);
    let ready = pod_ready(pod, &list, &containers);
    for condition in [sandbox, initialized(told, phase), ready, containers, Condition::yes("PodScheduled")] {
        list.push(written(condition, old, pod.metadata.generation, now));
    }
    list
}

/// A condition with the time of its last change, which is kept while its status stays the same.
fn written(condition: Condition, old: &[Tree], generation: i64, now: Timestamp) -> Tree {
    let status = if condition.holds { "True" } else { "False" };
    let before = old.iter().find(|one| one["type"] == condition.kind && one["status"] == status);
    let since = before.and_then(|one| one.get("lastTransitionTime")).filter(|time| time.is_string()).cloned();
    let mut tree = json!({
        "type": condition.kind,
        "status": status,
        "lastProbeTime": null,
        "lastTransitionTime": since.unwrap_or_else(|| now.into()),
        "observedGeneration": generation,
    });
    for (key, value) in [("reason", condition.reason), ("message", condition.message.as_str())] {
        if !value.is_empty() {
            tree[key] = value.into();
        }
    }
    tree
}

fn initialized(told: &[Told], phase: Phase) -> Condition {
    let init = told.iter().filter(|one| one.role == Role::Init);
    let missing: Vec<&str> = init
        .filter(|one| if one.is_sidecar { !one.is_started } else { !one.is_ready })
        .map(|one| one.name.as_str())
        .collect();
    if phase == Phase::Succeeded {
        return Condition { reason: "PodCompleted", ..Condition::yes("Initialized") };
    }
    let main_began = told.iter().any(|one| one.role == Role::Main && (one.is_running() || one.last_exit().is_some()));
    if missing.is_empty() || main_began {
        return Condition::yes("Initialized");
    }
    let message = format!("containers with incomplete status: [{}]", missing.join(" "));
    Condition::no("Initialized", "ContainersNotInitialized", message)
}

fn containers_ready(told: &[Told], phase: Phase) -> Condition {
    const KIND: &str = "ContainersReady";
    match phase {
        Phase::Succeeded => return Condition::no(KIND, "PodCompleted", String::new()),
        Phase::Failed => return Condition::no(KIND, "PodFailed", String::new()),
        Phase::Pending | Phase::Running => (),
    }
    let counted = told.iter().filter(|one| one.role == Role::Main || one.is_sidecar);
    let unready: Vec<&str> = counted.filter(|one| !one.is_ready).map(|one| one.name.as_str()).collect();
    if unready.is_empty() {
        return Condition::yes(KIND);
    }
    Condition::no(KIND, "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
}

fn pod_ready(pod: &Pod, others: &[Tree], containers: &Condition) -> Condition {
    if !containers.holds {
        return Condition::no("Ready", containers.reason, containers.message.clone());
    }
    let complaint = |gate: &str| match others.iter().find(|one| one["type"] == gate).map(|one| &one["status"]) {
        None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
        Some(status) if status == "True" => None,
        Some(status) => {
            let status = status.as_str().unwrap_or_default();
            Some(format!("the status of pod readiness gate {gate:?} is not \"True\", but {status}"))
        }
    };
    let gates = pod.spec.readiness_gates.iter();
    let complaints: Vec<String> = gates.filter_map(|gate| complaint(&gate.condition_type)).collect();
    if complaints.is_empty() {
        Condition::yes("Ready")
    } else {
        Condition::no("Ready", "ReadinessGatesNotReady", complaints.join(", "))
    }
}
