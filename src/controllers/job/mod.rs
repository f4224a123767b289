//! Job: runs pods until enough of them have succeeded, or too many have failed.
//!
//! Every pod carries a finalizer until it has been counted. Finished pods are first noted by uid in
//! the status, then lose their finalizer, and only then, when that has been seen, move from the
//! notes into the counters; so no crash counts a pod twice or not at all.

mod indexes;
mod judge;
mod pods;
pub mod strays;
mod tally;

use std::time::Duration;

use crate::client::{NoteKind, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Told, Wake};
use crate::controllers::shared::conditions::{Conditions, condition};
use crate::controllers::shared::ownership::claim;
use crate::controllers::shared::status::sparse;
use crate::object::kind::{JOB, POD};
use crate::object::tree::json;
use crate::object::view::{Condition, Job, LabelSelector, Pod};
use crate::object::{Key, PatchKind, Timestamp, Tree};

use judge::Ending;
use tally::Tally;

pub static CONTROLLER: Controller = Controller {
    name: "job-controller",
    component: "job-controller",
    kind: Some(&JOB),
    woken_by: &[Wake::OwnerOf(&POD)],
    reconcile,
};

const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const MANAGER: &str = "kubernetes.io/job-controller";
/// Pods created or deleted in one go.
const BURST_MAX: usize = 500;

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(job) = snap.get::<Job>(key) else { return }; // gone: its strays are let go
    let managed_elsewhere = job.spec.managed_by.as_deref().is_some_and(|manager| manager != MANAGER);
    if managed_elsewhere || job.finished().is_some() {
        return;
    }
    let selector = job.spec.selector.clone().unwrap_or_else(LabelSelector::default);
    let pods = claim::<Job, Pod>(snap, &job, &selector, |_| true, plan);
    let tally = Tally::of(&job, &pods);
    let mut conditions = Conditions::of(&job.status.conditions);
    let mut status = Status::of(&job, &tally, snap.now());
    match judge::ending(&job, &pods, &tally, snap.now()) {
        Some(ending) => end(snap, &job, &tally, ending, &mut conditions, &mut status, plan),
        None => carry_on(snap, &job, &pods, &tally, &mut conditions, &mut status, plan),
    }
    plan.status(&job, status.to_tree(&tally, &conditions));
    for pod in &tally.to_release {
        release(pod, plan);
    }
    if let Some(deadline) = judge::time_left(&job, snap.now()) {
        plan.again_after(deadline);
    }
}

/// The numbers of the status that the plan decides.
struct Status {
    start_time: Option<Timestamp>,
    completion_time: Option<Timestamp>,
    active: usize,
    ready: usize,
    terminating: usize,
}

impl Status {
    fn of(job: &Job, tally: &Tally, now: Timestamp) -> Self {
        let start_time = job.status.start_time.or((!is_suspended(job)).then_some(now));
        let ready = tally.active.iter().filter(|pod| pod.is_ready()).count();
        let terminating = tally.terminating_count;
        Self { start_time, completion_time: None, active: tally.active.len(), ready, terminating }
    }

    fn to_tree(&self, tally: &Tally, conditions: &Conditions) -> Tree {
        let status = json!({
            "conditions": conditions.to_tree(),
            "startTime": self.start_time.map(Tree::from),
            "completionTime": self.completion_time.map(Tree::from),
            "active": self.active,
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "ready": self.ready,
            "terminating": self.terminating,
            "completedIndexes": tally.completed_indexes(),
            "failedIndexes": tally.failed_indexes(),
            "uncountedTerminatedPods": tally.uncounted(),
        });
        let mut always = vec!["ready", "terminating", "uncountedTerminatedPods"];
        if tally.failed_indexes().is_some() {
            always.push("failedIndexes");
        }
        sparse(status, &always)
    }
}

fn is_suspended(job: &Job) -> bool {
    job.spec.suspend == Some(true)
}

/// A condition as jobs keep them.
fn job_condition(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Condition {
    Condition { last_probe_time: Some(now), ..condition(kind, status, reason, message, now) }
}

/// The job is to end: its pods go, and once all are gone and counted, it has ended.
fn end(
    snap: &Snapshot,
    job: &Seen<Job>,
    tally: &Tally,
    ending: Ending,
    conditions: &mut Conditions,
    status: &mut Status,
    plan: &mut Plan,
) {
    let (interim, terminal) = ending.condition_types();
    if !conditions.is_true(interim) {
        conditions.set_in_place(job_condition(interim, "True", ending.reason(), ending.message(), snap.now()));
    }
    for pod in &tally.active {
        plan.delete(pod, Some(Told::pod_deleted(job)));
    }
    status.terminating += tally.active.len();
    let had_active = std::mem::take(&mut status.active) > 0;
    status.ready = 0;
    if had_active || tally.terminating_count > 0 || !tally.is_settled() {
        return;
    }
    conditions.set_in_place(job_condition(terminal, "True", ending.reason(), ending.message(), snap.now()));
    match ending {
        Ending::Success { .. } => {
            status.completion_time = Some(snap.now());
            plan.event(job, NoteKind::Normal, "Completed", "Job completed");
        }
        Ending::Failure { reason, message } => plan.event(job, NoteKind::Warning, &reason, message),
    }
}

/// The job is not over: it runs as many pods as it should, unless it is suspended.
fn carry_on(
    snap: &Snapshot,
    job: &Seen<Job>,
    pods: &[Seen<Pod>],
    tally: &Tally,
    conditions: &mut Conditions,
    status: &mut Status,
    plan: &mut Plan,
) {
    if job.is_deleting() {
        return;
    }
    note_suspension(snap, job, conditions, status, plan);
    let change = pods::change(snap, job, pods, tally);
    for pod in &change.delete {
        plan.delete(pod, Some(Told::pod_deleted(job)));
        status.ready -= usize::from(pod.is_ready());
    }
    status.active = status.active - change.delete.len() + change.create.len();
    status.terminating += change.delete.len();
    for pod in change.create {
        plan.create_and_tell(&POD, pod, Told::pod_created(job));
    }
    if let Some(delay) = change.wait {
        plan.again_after(delay);
    }
}

fn note_suspension(
    snap: &Snapshot,
    job: &Seen<Job>,
    conditions: &mut Conditions,
    status: &mut Status,
    plan: &mut Plan,
) {
    let was_suspended = conditions.get("Suspended").map(|condition| condition.is_true());
    match (is_suspended(job), was_suspended) {
        (true, Some(true)) | (false, Some(false) | None) => (),
        (true, _) => {
            conditions.set_in_place(job_condition("Suspended", "True", "JobSuspended", "Job suspended", snap.now()));
            plan.event(job, NoteKind::Normal, "Suspended", "Job suspended");
            status.start_time = None;
        }
        (false, Some(true)) => {
            conditions.set_in_place(job_condition("Suspended", "False", "JobResumed", "Job resumed", snap.now()));
            plan.event(job, NoteKind::Normal, "Resumed", "Job resumed");
            status.start_time = Some(snap.now());
        }
    }
}

fn has_finalizer(pod: &Seen<Pod>) -> bool {
    pod.meta().finalizers.iter().any(|name| name == FINALIZER)
}

fn release(pod: &Seen<Pod>, plan: &mut Plan) {
    let body = json!({"metadata": {"uid": pod.uid(), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    plan.patch(&POD, pod.key(), PatchKind::Strategic, body);
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests;
