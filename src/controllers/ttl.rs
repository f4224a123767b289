//! TTL after finished: deletes jobs some time after they ended, if they ask for it.

use std::time::Duration;

use crate::client::{DeleteOptions, Propagation, Snapshot};
use crate::controllers::runtime::{Controller, Plan};
use crate::object::Key;
use crate::object::kind::JOB;
use crate::object::view::Job;

pub static CONTROLLER: Controller = Controller {
    name: "ttl-after-finished-controller",
    component: "ttl-after-finished-controller",
    kind: Some(&JOB),
    woken_by: &[],
    reconcile,
};

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(job) = snap.get::<Job>(key).filter(|job| !job.is_deleting()) else { return };
    let ended = job.finished().and_then(|condition| condition.last_transition_time);
    let (Some(ttl), Some(ended)) = (job.spec.ttl_seconds_after_finished, ended) else { return };
    let due = ended + Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
    if due > snap.now() {
        return plan.again_after(due.since(snap.now()));
    }
    let options = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::of_uid(job.uid()) };
    plan.delete_with(&job, options, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn finished_jobs_go_when_their_time_is_over() {
        let ended =
            r#"status.conditions=[{"type":"Complete","status":"True","lastTransitionTime":"2027-01-15T07:59:00Z"}]"#;
        check(
            &CONTROLLER,
            &format!("job j spec.ttlSecondsAfterFinished=30 {ended}"),
            expect![[r#"
            delete job/j propagation=Foreground
        "#]],
        );
        check(
            &CONTROLLER,
            &format!("job j spec.ttlSecondsAfterFinished=90 {ended}"),
            expect![[r#"
            again after 30s
        "#]],
        );
        check(&CONTROLLER, &format!("job j {ended}"), expect![[""]]);
    }
}
