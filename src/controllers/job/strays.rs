//! Pods that carry a job's finalizer but have nobody left to count them: their job is gone, has ended,
//! or has let them go.

use super::{has_finalizer, release};
use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::plan::Step;
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::Key;
use crate::object::kind::{JOB, POD};
use crate::object::view::{Job, Pod};

pub static CONTROLLER: Controller = Controller {
    name: "job-controller",
    component: "job-controller",
    kind: None,
    woken_by: &[Wake::By(&POD, if_tracked), Wake::By(&JOB, pods_of_ended_job)],
    reconcile,
};

fn if_tracked(_: &Snapshot, change: &Change) -> Vec<Key> {
    let pod = change.after.as_ref().and_then(Seen::<Pod>::new).filter(has_finalizer);
    pod.map(|pod| pod.key().clone()).into_iter().collect()
}

fn pods_of_ended_job(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(job) = change.latest().and_then(Seen::<Job>::new) else { return Vec::new() };
    if change.after.is_some() && job.finished().is_none() {
        return Vec::new();
    }
    let pods = snap.dependents(job.uid()).filter_map(Seen::<Pod>::new).filter(has_finalizer);
    pods.map(|pod| pod.key().clone()).collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(pod) = snap.get::<Pod>(key).filter(has_finalizer) else { return };
    let owner = pod.meta().controller().filter(|owner| owner.kind == JOB.kind);
    let job = owner.and_then(|owner| {
        let job = snap.find::<Job>(pod.namespace(), &owner.name);
        job.filter(|job| job.uid() == owner.uid)
    });
    match (owner, job) {
        (_, Some(job)) if job.finished().is_none() => return,
        // The snapshot may know the pod before its job: the server must say that there is none.
        (Some(owner), None) => {
            let key = JOB.key(pod.namespace(), &owner.name);
            plan.steps.push(Step::EndIfAny(vec![(JOB.clone(), key, owner.uid.clone())]));
        }
        _ => (),
    }
    release(&pod, plan);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check_key;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(situation: &str, expect: Expect) {
        check_key(&CONTROLLER, &POD.key("default", "a"), situation, expect);
    }

    #[test]
    fn pods_without_a_job_that_counts_them_are_let_go() {
        const POD: &str = "pod a phase=Succeeded finalizer=batch.kubernetes.io/job-tracking";
        check(
            POD,
            expect![[r#"
            patch pod/a {"metadata":{"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"],"uid":"pod-a"}}
        "#]],
        );
        let lost = r#"metadata.ownerReferences=[{"kind":"Job","name":"x","uid":"u","controller":true}]"#;
        check(
            &format!("{POD} {lost}"),
            expect![[r#"
            end if there is job/x
            patch pod/a {"metadata":{"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"],"uid":"pod-a"}}
        "#]],
        );
        check(&format!("job j\n {POD} owner=j"), expect![[""]]);
        check(
            &format!(
                r#"job j status.conditions=[{{"type":"Complete","status":"True"}}]
 {POD} owner=j"#
            )
            .replace("\\n", "\n"),
            expect![[r#"
                patch pod/a {"metadata":{"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"],"uid":"pod-a"}}
            "#]],
        );
    }
}
