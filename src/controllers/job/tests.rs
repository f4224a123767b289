//! Lives of jobs.

use expect_test::{Expect, expect};

use super::CONTROLLER;
use crate::controllers::testing;

#[track_caller]
fn check(situation: &str, expect: Expect) {
    testing::check(&CONTROLLER, situation, expect);
}

const TRACKED: &str = "finalizer=batch.kubernetes.io/job-tracking";

#[test]
fn a_new_job_starts_its_pods() {
    check(
        "job j spec.parallelism=2 spec.completions=3",
        expect![[r#"
        create pod/j-* app=j
        create pod/j-* app=j
        status job/j active=2 ready=0 startTime=2027-01-15T08:00:00Z terminating=0 uncountedTerminatedPods={}
    "#]],
    );
}

#[test]
fn finished_pods_are_noted_before_they_are_let_go() {
    check(
        &format!("job j spec.completions=1 spec.parallelism=1\n pod a owner=j phase=Succeeded {TRACKED}"),
        expect![[r#"
            status job/j SuccessCriteriaMet=True(CompletionsReached) ready=0 startTime=2027-01-15T08:00:00Z terminating=0 uncountedTerminatedPods={"succeeded":["pod-a"]}
            patch pod/a {"metadata":{"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"],"uid":"pod-a"}}
        "#]],
    );
}

#[test]
fn noted_pods_count_once_their_finalizer_is_gone() {
    check(
        r#"
        job j spec.completions=1 spec.parallelism=1 status.startTime=2027-01-15T07:00:00Z status.uncountedTerminatedPods={"succeeded":["pod-a"]} status.conditions=[{"type":"SuccessCriteriaMet","status":"True","reason":"CompletionsReached","message":"m"}]
        pod a owner=j phase=Succeeded
        "#,
        expect![[r#"
            event job/j Normal Completed: Job completed
            status job/j completionTime=2027-01-15T08:00:00Z SuccessCriteriaMet=True(CompletionsReached) Complete=True(CompletionsReached) ready=0 startTime=2027-01-15T07:00:00Z succeeded=1 terminating=0 uncountedTerminatedPods={}
        "#]],
    );
}

#[test]
fn too_many_failures_end_the_job() {
    check(
        &format!(
            "job j spec.completions=2 spec.parallelism=2 spec.backoffLimit=0\n pod a owner=j phase=Failed {TRACKED}\n pod b owner=j ready {TRACKED}"
        ),
        expect![[r#"
            delete pod/b
            status job/j FailureTarget=True(BackoffLimitExceeded) ready=0 startTime=2027-01-15T08:00:00Z terminating=1 uncountedTerminatedPods={"failed":["pod-a"]}
            patch pod/a {"metadata":{"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"],"uid":"pod-a"}}
        "#]],
    );
}

#[test]
fn failed_pods_are_replaced_after_a_while() {
    let failed = r#"status.containerStatuses=[{"name":"c","state":{"terminated":{"exitCode":1,"finishedAt":"2027-01-15T07:59:55Z"}}}]"#;
    check(
        &format!("job j spec.completions=1 spec.parallelism=1 status.failed=1\n pod a owner=j phase=Failed {failed}"),
        expect![[r#"
            status job/j failed=1 ready=0 startTime=2027-01-15T08:00:00Z terminating=0 uncountedTerminatedPods={}
            again after 5s
        "#]],
    );
}

#[test]
fn indexes_are_filled_from_below() {
    check(
        &format!(
            "job j spec.completionMode=Indexed spec.completions=4 spec.parallelism=2\n pod a owner=j annotations=batch.kubernetes.io/job-completion-index:0 phase=Succeeded {TRACKED}\n pod b owner=j annotations=batch.kubernetes.io/job-completion-index:2 ready {TRACKED}"
        ),
        expect![[r#"
            create pod/j-1-* batch.kubernetes.io/job-completion-index=1 app=j batch.kubernetes.io/job-completion-index=1
            status job/j active=2 completedIndexes=0 ready=1 startTime=2027-01-15T08:00:00Z succeeded=1 terminating=0 uncountedTerminatedPods={}
            patch pod/a {"metadata":{"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"],"uid":"pod-a"}}
        "#]],
    );
}

#[test]
fn a_suspended_job_has_no_pods() {
    check(
        &format!("job j spec.suspend=true\n pod a owner=j ready {TRACKED}"),
        expect![[r#"
        event job/j Normal Suspended: Job suspended
        delete pod/a
        status job/j Suspended=True(JobSuspended) ready=0 terminating=1 uncountedTerminatedPods={}
    "#]],
    );
}

#[test]
fn a_policy_can_end_the_job_at_the_first_failure() {
    check(
        &format!(
            r#"
            job j spec.completions=1 spec.podFailurePolicy={{"rules":[{{"action":"FailJob","onExitCodes":{{"operator":"In","values":[42]}}}}]}}
            pod a owner=j phase=Failed {TRACKED} status.containerStatuses=[{{"name":"c","state":{{"terminated":{{"exitCode":42}}}}}}]
            "#
        ),
        expect![[r#"
            status job/j FailureTarget=True(PodFailurePolicy) ready=0 startTime=2027-01-15T08:00:00Z terminating=0 uncountedTerminatedPods={"failed":["pod-a"]}
            patch pod/a {"metadata":{"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"],"uid":"pod-a"}}
        "#]],
    );
}
