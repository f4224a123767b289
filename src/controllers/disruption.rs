//! Disruption: how many pods of each budget may be taken away on purpose right now.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::client::{Change, NoteKind, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::conditions::{Conditions, condition, to_tree};
use crate::object::kind::{DEPLOYMENT, POD, POD_DISRUPTION_BUDGET};
use crate::object::tree::json;
use crate::object::view::{
    Condition, Deployment, Pod, PodDisruptionBudget, ReplicaSet, ReplicationController, StatefulSet,
};
use crate::object::{Key, Timestamp, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "disruption-controller",
    component: "controllermanager",
    kind: Some(&POD_DISRUPTION_BUDGET),
    woken_by: &[Wake::By(&POD, budgets_of_pod), Wake::By(&DEPLOYMENT, budgets_nearby)],
    reconcile,
};

/// How long an eviction may take from being allowed to being seen.
const EVICTION_MAX: Duration = Duration::from_secs(120);

fn budgets_of_pod(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(namespace) = change.latest().map(|pod| pod.key().namespace()) else { return Vec::new() };
    let budgets = snap.list::<PodDisruptionBudget>(namespace).into_iter();
    let touched = budgets.filter(|budget| change.states().any(|pod| covers(budget, &pod.meta().labels)));
    touched.map(|budget| budget.key().clone()).collect()
}

fn budgets_nearby(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(namespace) = change.latest().map(|object| object.key().namespace()) else { return Vec::new() };
    snap.list::<PodDisruptionBudget>(namespace).iter().map(|budget| budget.key().clone()).collect()
}

fn covers(budget: &PodDisruptionBudget, labels: &crate::object::StringMap) -> bool {
    budget.spec.selector.as_ref().is_some_and(|selector| selector.matches(labels))
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(budget) = snap.get::<PodDisruptionBudget>(key) else { return };
    let mut pods = snap.list::<Pod>(budget.namespace());
    pods.retain(|pod| covers(&budget, &pod.meta().labels));
    if pods.is_empty() {
        plan.event(&budget, NoteKind::Normal, "NoPods", "No matching pods found");
    }
    let expected = match expected(snap, &budget, &pods) {
        Ok(expected) => expected,
        Err(message) => return fail(snap, &budget, &message, plan),
    };
    let (disrupted, next) = still_disrupted(&budget, &pods, snap.now());
    let healthy = pods.iter().filter(|pod| pod.is_ready() && !pod.is_deleting() && !disrupted.contains_key(pod.name()));
    let healthy = healthy.count() as i64;
    let allowed = if expected.pods == 0 { 0 } else { (healthy - expected.healthy).max(0) };
    let mut conditions = Conditions::of(&budget.status.conditions);
    conditions.set_in_place(verdict(
        &budget,
        allowed > 0,
        if allowed > 0 { "SufficientPods" } else { "InsufficientPods" },
        "",
        snap,
    ));
    let mut status = json!({
        "observedGeneration": budget.meta().generation, "disruptionsAllowed": allowed, "currentHealthy": healthy,
        "desiredHealthy": expected.healthy, "expectedPods": expected.pods, "conditions": in_words(&conditions),
    });
    if !disrupted.is_empty() {
        let times = disrupted.into_iter().map(|(name, since)| (name, Tree::from(since)));
        status.set("disruptedPods", Tree::Object(times.collect()));
    }
    plan.status(&budget, status);
    if let Some(next) = next {
        plan.again_after(next);
    }
}

fn verdict(budget: &Seen<PodDisruptionBudget>, yes: bool, reason: &str, message: &str, snap: &Snapshot) -> Condition {
    let status = if yes { "True" } else { "False" };
    let verdict = condition("DisruptionAllowed", status, reason, message, snap.now());
    Condition { observed_generation: budget.meta().generation, ..verdict }
}

/// These conditions have a message even when it says nothing.
fn in_words(conditions: &Conditions) -> Tree {
    let list = conditions.iter().map(|condition| {
        let mut tree = to_tree(condition);
        tree.set("message", condition.message.as_str());
        tree
    });
    Tree::Array(list.collect())
}

fn fail(snap: &Snapshot, budget: &Seen<PodDisruptionBudget>, message: &str, plan: &mut Plan) {
    plan.event(
        budget,
        NoteKind::Warning,
        "CalculateExpectedPodCountFailed",
        format!("Failed to calculate the number of expected pods: {message}"),
    );
    let mut conditions = Conditions::of(&budget.status.conditions);
    conditions.set_in_place(verdict(budget, false, "SyncFailed", message, snap));
    plan.update_status(budget, |object| {
        object.set("status.disruptionsAllowed", 0);
        object.set("status.conditions", in_words(&conditions));
    });
}

struct Expected {
    pods: i64,
    healthy: i64,
}

/// How many pods there should be, and how many of them healthy.
fn expected(snap: &Snapshot, budget: &Seen<PodDisruptionBudget>, pods: &[Seen<Pod>]) -> Result<Expected, String> {
    use crate::object::view::IntOrPercent::{Int, Text};
    let spec = &budget.spec;
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(max), _) => {
            let total = scale_of_all(snap, pods)?;
            Ok(Expected { pods: total, healthy: (total - max.of(total, true).unwrap_or(0)).max(0) })
        }
        (None, Some(Int(min))) => Ok(Expected { pods: pods.len() as i64, healthy: *min }),
        (None, Some(min @ Text(_))) => {
            let total = scale_of_all(snap, pods)?;
            Ok(Expected { pods: total, healthy: min.of(total, true).unwrap_or(0) })
        }
        (None, None) => Ok(Expected { pods: 0, healthy: 0 }),
    }
}

/// The scales of all controllers of the pods, each counted once.
fn scale_of_all(snap: &Snapshot, pods: &[Seen<Pod>]) -> Result<i64, String> {
    let mut seen = HashSet::new();
    let mut total = 0;
    for pod in pods {
        let Some(owner) = pod.meta().controller() else {
            continue; // does not count, and is not protected by a percentage
        };
        let (namespace, name) = (pod.namespace(), owner.name.as_str());
        let (uid, scale) = match owner.kind.as_str() {
            "ReplicaSet" => match snap.find::<ReplicaSet>(namespace, name) {
                Some(set) => of_deployment(snap, &set).unwrap_or((set.uid().into(), set.spec.replicas.unwrap_or(1))),
                None => continue,
            },
            "StatefulSet" => match snap.find::<StatefulSet>(namespace, name) {
                Some(set) => (set.uid().to_owned(), set.spec.replicas.unwrap_or(1)),
                None => continue,
            },
            "ReplicationController" => match snap.find::<ReplicationController>(namespace, name) {
                Some(set) => (set.uid().to_owned(), set.spec.replicas.unwrap_or(1)),
                None => continue,
            },
            kind => return Err(format!("{} does not implement the scale subresource", kind.to_lowercase())),
        };
        if seen.insert(uid) {
            total += scale;
        }
    }
    Ok(total)
}

fn of_deployment(snap: &Snapshot, set: &Seen<ReplicaSet>) -> Option<(String, i64)> {
    let owner = set.meta().controller().filter(|owner| owner.kind == "Deployment")?;
    let deployment = snap.find::<Deployment>(set.namespace(), &owner.name)?;
    Some((deployment.uid().into(), deployment.spec.replicas.unwrap_or(1)))
}

/// Pods whose eviction was allowed and has not been seen yet, and when the next of them is given up.
fn still_disrupted(
    budget: &PodDisruptionBudget,
    pods: &[Seen<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, Timestamp>, Option<Duration>) {
    let mut kept = budget.status.disrupted_pods.clone();
    kept.retain(|name, since| {
        let waits = pods.iter().any(|pod| pod.name() == name && !pod.is_deleting());
        waits && *since + EVICTION_MAX > now
    });
    let next = kept.values().map(|since| (*since + EVICTION_MAX).since(now)).min();
    (kept, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn percentages_are_of_what_controllers_want() {
        check(
            &CONTROLLER,
            r#"
            pdb b spec.maxUnavailable="50%" spec.selector={"matchLabels":{"app":"web"}}
            rs web replicas=3
            pod a owner=web ready
            pod b owner=web ready
            pod c owner=web
            "#,
            expect![[r#"
                status poddisruptionbudget/b DisruptionAllowed=True(SufficientPods) currentHealthy=2 desiredHealthy=1 disruptionsAllowed=1 expectedPods=3 observedGeneration=1
            "#]],
        );
    }
}
