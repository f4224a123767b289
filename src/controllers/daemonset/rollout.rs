//! How a new template reaches the daemons: old ones go a few at a time, or, with `maxSurge`, new ones
//! come beside them first.

use super::{HASH_LABEL, OnNode, daemon, oldest_first};
use crate::client::{Seen, Snapshot};
use crate::controllers::runtime::{Plan, Told};
use crate::controllers::shared::pods::is_available;
use crate::object::Tree;
use crate::object::kind::POD;
use crate::object::view::{DaemonSet, IntOrPercent, Pod, RollingUpdate};

/// What every decision about replacing daemons needs to know.
pub struct Rollout<'a> {
    pub snap: &'a Snapshot,
    pub set: &'a Seen<DaemonSet>,
    pub template: &'a Tree,
    /// Of the present template.
    pub hash: &'a str,
}

impl Rollout<'_> {
    fn is_new(&self, pod: &Seen<Pod>) -> bool {
        pod.meta().label(HASH_LABEL) == Some(self.hash)
    }

    fn is_available(&self, pod: &Seen<Pod>) -> bool {
        is_available(pod, self.set.spec.min_ready_seconds, self.snap.now())
    }

    fn surge(&self, nodes: usize) -> usize {
        usize::try_from(limit(self.set, nodes, |rolling| rolling.max_surge.as_ref()).unwrap_or(0)).unwrap_or(0)
    }

    fn delete(&self, pod: &Seen<Pod>, plan: &mut Plan) {
        plan.delete(pod, Some(Told::pod_deleted(self.set)));
    }

    /// Daemons of one node that are too many: all but the oldest. With `maxSurge` the oldest of either
    /// template may stay, until the new one can do without the old one.
    pub fn excess<'p>(&self, alive: &[&'p Seen<Pod>]) -> Vec<&'p Seen<Pod>> {
        let sorted = oldest_first(alive);
        if self.surge(100) == 0 {
            return sorted.into_iter().skip(1).collect();
        }
        let (new, old): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|pod| self.is_new(pod));
        let replaced = match (new.first(), old.first()) {
            (Some(new), Some(old)) => !old.is_ready() || self.is_available(new),
            _ => false,
        };
        new.into_iter().skip(1).chain(old.into_iter().skip(usize::from(!replaced))).collect()
    }
}

/// The number that a setting of the rolling update means for so many nodes.
fn limit(set: &DaemonSet, nodes: usize, of: fn(&RollingUpdate) -> Option<&IntOrPercent>) -> Option<i64> {
    of(set.spec.update_strategy.rolling_update.as_ref()?)?.of(nodes as i64, true)
}

/// Brings the next few nodes to the present template.
pub fn update(nodes: &[OnNode], rollout: &Rollout, plan: &mut Plan) {
    if rollout.set.spec.update_strategy.kind == "OnDelete" {
        return;
    }
    let wanted: Vec<&OnNode> = nodes.iter().filter(|node| node.wanted).collect();
    match rollout.surge(wanted.len()) {
        0 => replace(&wanted, rollout, plan),
        surge => add_beside(&wanted, surge, rollout, plan),
    }
}

/// Takes old daemons away, as many as may be missing; new ones come once they are gone.
fn replace(nodes: &[&OnNode], rollout: &Rollout, plan: &mut Plan) {
    let max = limit(rollout.set, nodes.len(), |rolling| rolling.max_unavailable.as_ref()).unwrap_or(1).max(1);
    let has_one = |node: &OnNode| node.pods.iter().any(|pod| !pod.is_deleting() && rollout.is_available(pod));
    let mut budget = max - nodes.iter().filter(|node| !has_one(node)).count() as i64;
    for node in nodes {
        for pod in node.pods.iter().filter(|pod| pod.is_active() && !rollout.is_new(pod)) {
            // One that is of no use anyway costs nothing.
            if !rollout.is_available(pod) {
                rollout.delete(pod, plan);
            } else if budget > 0 {
                budget -= 1;
                rollout.delete(pod, plan);
            }
        }
    }
}

/// Puts new daemons beside old ones, on as many nodes as may have two at a time.
fn add_beside(nodes: &[&OnNode], surge: usize, rollout: &Rollout, plan: &mut Plan) {
    let alive = |node: &OnNode| node.pods.iter().filter(|pod| pod.is_active()).cloned().collect::<Vec<_>>();
    let (mut surging, mut due, mut willing) = (0, Vec::new(), Vec::new());
    for node in nodes {
        let pods = alive(node);
        match (pods.iter().any(|pod| rollout.is_new(pod)), pods.iter().find(|pod| !rollout.is_new(pod))) {
            (true, Some(_)) => surging += 1,
            (false, Some(old)) if !rollout.is_available(old) => due.push(node),
            (false, Some(_)) => willing.push(node),
            (_, None) => (),
        }
    }
    let room = surge.saturating_sub(surging);
    for node in due.into_iter().chain(willing.into_iter().take(room)) {
        let pod = daemon(rollout.set, rollout.template, rollout.hash, &node.name);
        plan.create_and_tell(&POD, pod, Told::pod_created(rollout.set));
    }
}

#[cfg(test)]
mod tests {
    use crate::controllers::daemonset::CONTROLLER;
    use crate::controllers::testing::plan_of;
    use crate::object::kind::DAEMON_SET;

    /// The creates and deletes of pods in the plan, without what follows the name.
    fn steps(situation: &str) -> Vec<String> {
        let plan = plan_of(&CONTROLLER, &DAEMON_SET.key("default", "d"), situation);
        let steps = plan.lines().filter(|line| line.contains(" pod/"));
        steps.map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    const SURGE: &str = r#"
        ds d spec.updateStrategy={"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":0}}
        node n1
        node n2
        pod a owner=d node=n1 ready
        pod b owner=d node=n2 ready
    "#;
    const NEW: &str = "pod c owner=d node=n1 labels=app:d,controller-revision-hash:7cdf7fdbdb";

    #[test]
    fn a_surge_puts_new_daemons_beside_old_ones() {
        assert_eq!(steps(SURGE), ["create pod/d-*"]);
        assert_eq!(steps(&format!("{SURGE}\n {NEW}")), [""; 0], "the new one is not ready yet");
        assert_eq!(steps(&format!("{SURGE}\n {NEW} ready")), ["delete pod/a"]);
    }

    #[test]
    fn without_surge_an_old_daemon_goes_first() {
        let replace = SURGE.replace(r#""maxSurge":1,"maxUnavailable":0"#, r#""maxUnavailable":1"#);
        assert_eq!(steps(&replace), ["delete pod/a"]);
    }
}
