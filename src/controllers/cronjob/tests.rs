//! Lives of cron jobs. It is 8:00 on a Friday.

use expect_test::{Expect, expect};

use super::CONTROLLER;
use crate::controllers::testing;

#[track_caller]
fn check(situation: &str, expect: Expect) {
    testing::check(&CONTROLLER, situation, expect);
}

const HOURLY: &str = r#"cronjob c age=7200 status={} spec.schedule="0\u0020*\u0020*\u0020*\u0020*" spec.jobTemplate={"metadata":{"labels":{"a":"b"}},"spec":{"x":1}} spec.successfulJobsHistoryLimit=1 spec.failedJobsHistoryLimit=1"#;
const MADE: &str = "annotations=batch.kubernetes.io/cronjob-scheduled-timestamp:2027-01-15T08:00:00Z";

fn ended(how: &str) -> String {
    format!(r#"status.conditions=[{{"type":"{how}","status":"True"}}] status.completionTime=2027-01-15T07:59:00Z"#)
}

#[test]
fn a_job_starts_when_it_is_due() {
    check(
        HOURLY,
        expect![[r#"
        create job/c-30000000 batch.kubernetes.io/cronjob-scheduled-timestamp=2027-01-15T08:00:00Z a=b
        again after 3600.1s
    "#]],
    );
}

#[test]
fn a_suspended_schedule_starts_nothing() {
    check(&format!("{HOURLY} spec.suspend=true"), expect![""]);
}

#[test]
fn a_zone_moves_the_hours() {
    check(
        &format!("{HOURLY} spec.timeZone=Asia/Kolkata"),
        expect![[r#"
        create job/c-29999970 batch.kubernetes.io/cronjob-scheduled-timestamp=2027-01-15T13:00:00+05:30 a=b
        again after 1800.1s
    "#]],
    );
    check(
        &format!("{HOURLY} spec.timeZone=Mars/Olympus"),
        expect![[r#"
        event cronjob/c Warning UnknownTimeZone: invalid timeZone: "Mars/Olympus": unknown time zone Mars/Olympus
    "#]],
    );
}

#[test]
fn a_running_job_is_noted_and_may_forbid_the_next() {
    let running = format!("job j owner=c {MADE}");
    check(
        &format!("{HOURLY} spec.concurrencyPolicy=Forbid\n job j owner=c"),
        expect![[r#"
        event cronjob/c Warning UnexpectedJob: Saw a job that the controller did not create or forgot: j
        create job/c-30000000 batch.kubernetes.io/cronjob-scheduled-timestamp=2027-01-15T08:00:00Z a=b
        again after 3600.1s
    "#]],
    );
    check(
        &format!("{HOURLY} spec.concurrencyPolicy=Forbid\n {running}"),
        expect![[r#"
        status cronjob/c active=[{"apiVersion":"batch/v1","kind":"Job","name":"j","namespace":"default","resourceVersion":"2","uid":"job-j"}] lastScheduleTime=2027-01-15T08:00:00Z
        again after 3600.1s
    "#]],
    );
    let listed = r#"status.active=[{"name":"j","uid":"job-j"}] status.lastScheduleTime=2027-01-15T07:00:00Z"#;
    check(
        &format!("{HOURLY} {listed} spec.concurrencyPolicy=Forbid\n job j owner=c"),
        expect![[r#"
        event cronjob/c Normal JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid
        again after 3600.1s
    "#]],
    );
    check(
        &format!("{HOURLY} {listed} spec.concurrencyPolicy=Replace\n job j owner=c"),
        expect![[r#"
        delete job/j propagation=Background
        create job/c-30000000 batch.kubernetes.io/cronjob-scheduled-timestamp=2027-01-15T08:00:00Z a=b
        status cronjob/c lastScheduleTime=2027-01-15T07:00:00Z
        again after 3600.1s
    "#]],
    );
}

#[test]
fn what_was_missed_by_too_much_is_not_made_up_for() {
    check(
        &format!("{HOURLY} spec.startingDeadlineSeconds=10"),
        expect![[r#"
        create job/c-30000000 batch.kubernetes.io/cronjob-scheduled-timestamp=2027-01-15T08:00:00Z a=b
        again after 3600.1s
    "#]],
    );
    let never = HOURLY.replace(r"0\u0020*\u0020*\u0020*\u0020*", r"0\u00200\u002031\u00202\u0020*");
    check(
        &never,
        expect![[r#"
        event cronjob/c Warning InvalidSchedule: invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1 second
    "#]],
    );
}

#[test]
fn finished_jobs_leave_the_list_and_old_ones_go() {
    let (complete, failed) = (ended("Complete"), ended("Failed"));
    check(
        &format!(
            r#"
            {HOURLY} spec.suspend=true status.active=[{{"name":"b","uid":"job-b"}},{{"name":"x","uid":"job-x"}}]
            job a owner=c {complete} status.startTime=2027-01-15T06:00:00Z
            job b owner=c {complete} status.startTime=2027-01-15T07:00:00Z
            job f owner=c {failed}
            "#
        ),
        expect![[r#"
            event cronjob/c Normal SawCompletedJob: Saw completed job: b, condition: Complete
            event cronjob/c Normal MissingJob: Active job went missing: x
            status cronjob/c lastSuccessfulTime=2027-01-15T07:59:00Z
            delete job/a propagation=Background
        "#]],
    );
}
