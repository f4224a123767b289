//! StatefulSet: pods with names, numbers and claims that outlive them.
//!
//! Unless told otherwise it works on one pod at a time: up in order, down in reverse, each waiting
//! for the ones before it. Claims are made with a pod and kept when it goes.

mod pods;

use crate::client::{Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Told, Wake};
use crate::controllers::shared::hash::revision_hash;
use crate::controllers::shared::history::{History, template_of};
use crate::controllers::shared::ownership::{claim, would_adopt};
use crate::controllers::shared::pods::availability;
use crate::controllers::shared::status::sparse;
use crate::object::kind::{CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET};
use crate::object::tree::json;
use crate::object::view::{ControllerRevision, PersistentVolumeClaim, Pod, StatefulSet};
use crate::object::{Key, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "statefulset-controller",
    component: "statefulset-controller",
    kind: Some(&STATEFUL_SET),
    woken_by: &[
        Wake::OwnerOf(&POD),
        Wake::OwnerOf(&CONTROLLER_REVISION),
        Wake::By(&POD, |snap, change| would_adopt::<StatefulSet>(snap, change, |set| set.spec.selector.clone())),
    ],
    reconcile,
};

const HASH_LABEL: &str = "controller.kubernetes.io/hash";
const REVISION_LABEL: &str = "controller-revision-hash";

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(set) = snap.get::<StatefulSet>(key) else { return };
    let template = set.spec.template.tree();
    let revisions = claim::<_, ControllerRevision>(snap, &set, &set.spec.selector, |_| true, plan);
    let history = History::new(revisions, &template);
    let is_member = |pod: &Seen<Pod>| pods::ordinal(set.name(), pod.name()).is_some();
    let pods = claim::<_, Pod>(snap, &set, &set.spec.selector, is_member, plan);
    let data = history.data().to_string();
    let hash_of = |collisions| revision_hash(data.as_bytes(), Some(collisions));
    let (hash, collisions) = history.free_hash(&set, set.status.collision_count.unwrap_or(0), hash_of);
    let update = match history.present() {
        Some(present) => present.name().to_owned(),
        None => format!("{}-{hash}", set.name()),
    };
    let current = Some(set.status.current_revision.clone()).filter(|name| history.find(name).is_some());
    let state = State {
        current: current.unwrap_or_else(|| update.clone()),
        update,
        set: &set,
        snap,
        history: &history,
        template,
        pods,
        collisions,
    };
    if !set.is_deleting() {
        history.record(&set, &state.template, HASH_LABEL, &hash, plan);
        state.advance(plan);
        let in_use = |revision: &Seen<ControllerRevision>| {
            revision.name() == state.current
                || state.pods.iter().any(|pod| pod.meta().label(REVISION_LABEL) == Some(revision.name()))
        };
        history.truncate(set.spec.revision_history_limit.unwrap_or(10), in_use, plan);
    }
    state.report(plan);
}

struct State<'a> {
    snap: &'a Snapshot,
    set: &'a Seen<StatefulSet>,
    history: &'a History,
    /// The set's present template.
    template: Tree,
    pods: Vec<Seen<Pod>>,
    current: String,
    update: String,
    /// Names of revisions that were taken.
    collisions: i64,
}

impl State<'_> {
    fn start(&self) -> i64 {
        self.set.spec.ordinals.as_ref().map_or(0, |ordinals| ordinals.start)
    }

    fn end(&self) -> i64 {
        self.start() + self.set.spec.replicas.unwrap_or(1)
    }

    fn is_ordered(&self) -> bool {
        self.set.spec.pod_management_policy != "Parallel"
    }

    fn pod(&self, ordinal: i64) -> Option<&Seen<Pod>> {
        self.pods.iter().find(|pod| pods::ordinal(self.set.name(), pod.name()) == Some(ordinal))
    }

    fn is_available(&self, pod: &Seen<Pod>) -> bool {
        let left = availability(pod, self.set.spec.min_ready_seconds, self.snap.now());
        pod.status.phase == "Running" && !pod.is_deleting() && left.is_some_and(|left| left.is_zero())
    }

    fn revision_of<'p>(&self, pod: &'p Seen<Pod>) -> &'p str {
        pod.meta().label(REVISION_LABEL).unwrap_or("")
    }

    /// Takes the next steps; with ordered pods, at most one.
    fn advance(&self, plan: &mut Plan) {
        for ordinal in self.start()..self.end() {
            let step = match self.pod(ordinal) {
                None => {
                    self.create(ordinal, plan);
                    Step::Taken
                }
                Some(pod) if pod.is_terminal() && !pod.is_deleting() => {
                    self.delete(pod, plan);
                    Step::Taken
                }
                Some(pod) if !self.is_available(pod) => Step::Waits,
                Some(_) => Step::Done,
            };
            if self.is_ordered() && !matches!(step, Step::Done) {
                return;
            }
        }
        if self.scale_down(plan) {
            return;
        }
        self.roll(plan);
    }

    /// Deletes pods beyond the end, the last one first. Whether there is something to wait for.
    fn scale_down(&self, plan: &mut Plan) -> bool {
        let number = |pod: &Seen<Pod>| pods::ordinal(self.set.name(), pod.name()).unwrap_or(0);
        let mut condemned: Vec<&Seen<Pod>> =
            self.pods.iter().filter(|pod| !(self.start()..self.end()).contains(&number(pod))).collect();
        condemned.sort_by_key(|pod| std::cmp::Reverse(number(pod)));
        for pod in &condemned {
            if self.is_ordered() && !self.is_available(pod) && !self.is_first_ailing(pod) {
                return true;
            }
            if !pod.is_deleting() {
                self.delete(pod, plan);
            }
            if self.is_ordered() {
                return true;
            }
        }
        if condemned.is_empty() {
            self.drop_claims(plan);
        }
        !condemned.is_empty()
    }

    /// Of the pods that are not well only the first may be taken away: the others might get better.
    fn is_first_ailing(&self, pod: &Seen<Pod>) -> bool {
        let is_well = |pod: &Seen<Pod>| pod.status.phase == "Running" && pod.is_ready() && !pod.is_deleting();
        let is_wanted = |number: i64| (self.start()..self.end()).contains(&number);
        let numbered = self.pods.iter().filter_map(|pod| Some((pods::ordinal(self.set.name(), pod.name())?, pod)));
        let ailing = numbered.filter(|(_, pod)| !is_well(pod));
        let first = ailing.min_by_key(|(number, _)| (!is_wanted(*number), *number));
        first.is_some_and(|(_, first)| first.uid() == pod.uid())
    }

    /// Claims of numbers that are not used any more, if their owner wants them to go.
    fn drop_claims(&self, plan: &mut Plan) {
        let retention = self.set.spec.persistent_volume_claim_retention_policy.as_ref();
        if retention.is_none_or(|retention| retention.when_scaled != "Delete") {
            return;
        }
        for claim in self.snap.list::<PersistentVolumeClaim>(self.set.namespace()) {
            let number = self.set.spec.volume_claim_templates.iter().find_map(|template| {
                let prefix = format!("{}-{}", template.tree().text("metadata.name"), self.set.name());
                pods::ordinal(&prefix, claim.name())
            });
            let unused = number.is_some_and(|number| !(self.start()..self.end()).contains(&number));
            if unused && !claim.is_deleting() && self.set.spec.selector.matches(&claim.meta().labels) {
                plan.delete(&claim, None);
            }
        }
    }

    /// Replaces pods of the former template, the last one first, down to the partition.
    fn roll(&self, plan: &mut Plan) {
        if self.set.spec.update_strategy.kind == "OnDelete" {
            return;
        }
        let rolling = self.set.spec.update_strategy.rolling_update.as_ref();
        let partition = self.start() + rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
        let max = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let max = max.and_then(|max| max.of(self.end() - self.start(), true)).unwrap_or(1).max(1);
        let unavailable =
            (self.start()..self.end()).filter(|n| !self.pod(*n).is_some_and(|pod| self.is_available(pod)));
        let mut budget = max - unavailable.count() as i64;
        for ordinal in (partition..self.end()).rev() {
            let Some(pod) = self.pod(ordinal) else { return };
            let available = self.is_available(pod);
            if self.revision_of(pod) != self.update && !pod.is_deleting() && (budget > 0 || !available) {
                self.delete(pod, plan);
                budget -= i64::from(available);
            }
            if budget <= 0 {
                return;
            }
        }
    }

    fn create(&self, ordinal: i64, plan: &mut Plan) {
        let partition = self.set.spec.update_strategy.rolling_update.as_ref().and_then(|rolling| rolling.partition);
        let rolls = self.set.spec.update_strategy.kind == "RollingUpdate";
        let keeps_current = match partition.filter(|_| rolls) {
            Some(partition) => ordinal < self.start() + partition,
            None => rolls && ordinal < self.start() + self.set.status.current_replicas,
        };
        let (revision, template) = match self.history.find(&self.current).filter(|_| keeps_current) {
            Some(current) => (self.current.as_str(), template_of(current)),
            None => (self.update.as_str(), self.template.clone()),
        };
        let pod = pods::member(self.set, &template, ordinal, revision);
        for claim in pods::claims(self.set, ordinal) {
            let name = claim.text("metadata.name").to_owned();
            if self.snap.object(&PERSISTENT_VOLUME_CLAIM.key(self.set.namespace(), &name)).is_none() {
                plan.create_and_tell(&PERSISTENT_VOLUME_CLAIM, claim, self.claim_told(ordinal));
            }
        }
        plan.create_and_tell(&POD, pod, self.told("Create", "SuccessfulCreate", "FailedCreate", ordinal));
    }

    fn delete(&self, pod: &Seen<Pod>, plan: &mut Plan) {
        let ordinal = pods::ordinal(self.set.name(), pod.name()).unwrap_or(0);
        plan.delete(pod, Some(self.told("Delete", "SuccessfulDelete", "FailedDelete", ordinal)));
    }

    fn told(&self, verb: &str, done: &'static str, failed: &'static str, ordinal: i64) -> Told {
        let set = self.set.name();
        let what = format!("Pod {set}-{ordinal} in StatefulSet {set}");
        let lower = verb.to_lowercase();
        Told::both(
            self.set,
            (done, format!("{verb} {what} successful")),
            (failed, format!("{lower} {what} failed error: {{}}")),
        )
    }

    fn claim_told(&self, ordinal: i64) -> Told {
        let set = self.set.name();
        let what = format!("Pod {set}-{ordinal} in StatefulSet {set}");
        let failed = format!("create Claim for {what} failed error: {{}}");
        Told::both(
            self.set,
            ("SuccessfulCreate", format!("Create Claim {{}} {what} success")),
            ("FailedCreate", failed),
        )
    }

    fn report(&self, plan: &mut Plan) {
        let count = |holds: &dyn Fn(&Seen<Pod>) -> bool| self.pods.iter().filter(|pod| holds(pod)).count() as i64;
        let of = |pod: &Seen<Pod>, revision: &str| !pod.is_deleting() && self.revision_of(pod) == revision;
        let (replicas, ready) = (self.pods.len() as i64, count(&|pod| pod.status.phase == "Running" && pod.is_ready()));
        let updated = count(&|pod| of(pod, &self.update));
        let mut current = count(&|pod| of(pod, &self.current));
        let mut current_revision = &self.current;
        let rolls = self.set.spec.update_strategy.kind == "RollingUpdate";
        if rolls && updated == replicas && ready == replicas && replicas == self.end() - self.start() {
            (current, current_revision) = (updated, &self.update);
        }
        for pod in &self.pods {
            let left = availability(pod, self.set.spec.min_ready_seconds, self.snap.now());
            if let Some(left) = left.filter(|left| !left.is_zero()) {
                plan.again_after(left);
            }
        }
        let status = json!({
            "observedGeneration": self.set.meta().generation,
            "replicas": replicas,
            "readyReplicas": ready,
            "currentReplicas": current,
            "updatedReplicas": updated,
            "availableReplicas": count(&|pod| self.is_available(pod)),
            "currentRevision": current_revision,
            "updateRevision": self.update,
            "collisionCount": self.collisions,
        });
        plan.status(self.set, sparse(status, &["replicas", "collisionCount", "availableReplicas"]));
    }
}

/// How one number stands.
enum Step {
    Done,
    Taken,
    Waits,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{self, check};
    use expect_test::expect;

    const SET: &str = r#"sts db replicas=3 spec.serviceName=svc spec.updateStrategy={"type":"RollingUpdate","rollingUpdate":{"partition":0}}"#;

    #[test]
    fn pods_come_one_after_the_other() {
        check(
            &CONTROLLER,
            SET,
            expect![[r#"
            create controllerrevision/db-7dbbfb5bf8 app=db controller.kubernetes.io/hash=7dbbfb5bf8 spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
            create pod/db-0 app=db apps.kubernetes.io/pod-index=0 controller-revision-hash=db-7dbbfb5bf8 statefulset.kubernetes.io/pod-name=db-0
            status statefulset/db availableReplicas=0 collisionCount=0 currentRevision=db-7dbbfb5bf8 observedGeneration=1 replicas=0 updateRevision=db-7dbbfb5bf8
        "#]],
        );
        check(
            &CONTROLLER,
            &format!("{SET}\n pod db-0 owner=db node=n1"),
            expect![[r#"
            create controllerrevision/db-7dbbfb5bf8 app=db controller.kubernetes.io/hash=7dbbfb5bf8 spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
            status statefulset/db availableReplicas=0 collisionCount=0 currentRevision=db-7dbbfb5bf8 observedGeneration=1 replicas=1 updateRevision=db-7dbbfb5bf8
        "#]],
        );
        check(
            &CONTROLLER,
            &format!("{SET}\n pod db-0 owner=db node=n1 ready"),
            expect![[r#"
            create controllerrevision/db-7dbbfb5bf8 app=db controller.kubernetes.io/hash=7dbbfb5bf8 spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
            create pod/db-1 app=db apps.kubernetes.io/pod-index=1 controller-revision-hash=db-7dbbfb5bf8 statefulset.kubernetes.io/pod-name=db-1
            status statefulset/db availableReplicas=1 collisionCount=0 currentRevision=db-7dbbfb5bf8 observedGeneration=1 readyReplicas=1 replicas=1 updateRevision=db-7dbbfb5bf8
        "#]],
        );
    }

    #[test]
    fn parallel_pods_come_all_at_once() {
        check(
            &CONTROLLER,
            &format!("{SET} spec.podManagementPolicy=Parallel"),
            expect![[r#"
            create controllerrevision/db-7dbbfb5bf8 app=db controller.kubernetes.io/hash=7dbbfb5bf8 spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
            create pod/db-0 app=db apps.kubernetes.io/pod-index=0 controller-revision-hash=db-7dbbfb5bf8 statefulset.kubernetes.io/pod-name=db-0
            create pod/db-1 app=db apps.kubernetes.io/pod-index=1 controller-revision-hash=db-7dbbfb5bf8 statefulset.kubernetes.io/pod-name=db-1
            create pod/db-2 app=db apps.kubernetes.io/pod-index=2 controller-revision-hash=db-7dbbfb5bf8 statefulset.kubernetes.io/pod-name=db-2
            status statefulset/db availableReplicas=0 collisionCount=0 currentRevision=db-7dbbfb5bf8 observedGeneration=1 replicas=0 updateRevision=db-7dbbfb5bf8
        "#]],
        );
    }

    #[test]
    fn scaling_down_begins_at_the_end() {
        check(
            &CONTROLLER,
            "sts db replicas=1\n pod db-0 owner=db node=n1 ready\n pod db-1 owner=db node=n1 ready\n pod db-2 owner=db node=n1 ready",
            expect![[r#"
                create controllerrevision/db-7dbbfb5bf8 app=db controller.kubernetes.io/hash=7dbbfb5bf8 spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
                delete pod/db-2
                status statefulset/db availableReplicas=3 collisionCount=0 currentRevision=db-7dbbfb5bf8 observedGeneration=1 readyReplicas=3 replicas=3 updateRevision=db-7dbbfb5bf8
            "#]],
        );
    }

    #[test]
    fn scaling_down_waits_for_pods_to_get_well_but_for_the_first() {
        const ONE: &str = "sts db replicas=0\n pod db-0 owner=db node=n1 ready\n pod db-1 owner=db node=n1";
        let deletes = |situation: &str| {
            let set = STATEFUL_SET.key("default", "db");
            testing::plan_of(&CONTROLLER, &set, situation).lines().filter(|line| line.starts_with("delete")).count()
        };
        assert_eq!(deletes(ONE), 1);
        assert_eq!(deletes(&ONE.replace("n1 ready", "n1")), 0);
    }

    #[test]
    fn a_revision_whose_name_is_taken_gets_another() {
        check(
            &CONTROLLER,
            "sts db replicas=0\n controllerrevision db-7dbbfb5bf8 owner=db labels=app:db data={}",
            expect![[r#"
                create controllerrevision/db-7dbbfb5bf9 app=db controller.kubernetes.io/hash=7dbbfb5bf9 spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
                status statefulset/db availableReplicas=0 collisionCount=1 currentRevision=db-7dbbfb5bf9 observedGeneration=1 replicas=0 updateRevision=db-7dbbfb5bf9
            "#]],
        );
    }

    #[test]
    fn claims_are_made_with_their_pod() {
        check(
            &CONTROLLER,
            r#"sts db replicas=1 spec.volumeClaimTemplates=[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"]}}]"#,
            expect![[r#"
                create controllerrevision/db-7dbbfb5bf8 app=db controller.kubernetes.io/hash=7dbbfb5bf8 spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
                create persistentvolumeclaim/data-db-0 app=db
                create pod/db-0 app=db apps.kubernetes.io/pod-index=0 controller-revision-hash=db-7dbbfb5bf8 statefulset.kubernetes.io/pod-name=db-0
                status statefulset/db availableReplicas=0 collisionCount=0 currentRevision=db-7dbbfb5bf8 observedGeneration=1 replicas=0 updateRevision=db-7dbbfb5bf8
            "#]],
        );
    }
}
