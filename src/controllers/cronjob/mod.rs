//! CronJob: creates a job each time its schedule is due.
//!
//! A job is named after the minute it was due and says that time in an annotation, so none is made
//! twice, and what is lost between creating a job and noting it in the status is read from the job.

mod due;
mod history;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::client::{DeleteOptions, NoteKind, Propagation, Seen, Snapshot};
use crate::controllers::runtime::plan::reference;
use crate::controllers::runtime::{Controller, Plan, Told, Wake};
use crate::controllers::shared::ownership::controller_ref;
use crate::controllers::shared::status::sparse;
use crate::object::cron::Schedule;
use crate::object::kind::{CRON_JOB, JOB};
use crate::object::tree::json;
use crate::object::view::{CronJob, Job, Reference};
use crate::object::zone::Zone;
use crate::object::{Key, Timestamp, Tree, TreePath};

use due::Due;

pub static CONTROLLER: Controller = Controller {
    name: "cronjob-controller",
    component: "cronjob-controller",
    kind: Some(&CRON_JOB),
    woken_by: &[Wake::OwnerOf(&JOB)],
    reconcile,
};

/// When a job was due, on the clocks of its schedule.
const DUE_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Clocks of two machines differ a little: a job a moment late is better than one missed.
const SKEW: Duration = Duration::from_millis(100);

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(cron) = snap.get::<CronJob>(key) else { return };
    let jobs = snap.owned_by::<Job>(cron.uid());
    let mut status = Status::of(&cron, &jobs, plan);
    if !cron.is_deleting() && cron.spec.suspend != Some(true) {
        start(snap, &cron, &jobs, &mut status, plan);
    }
    plan.status(&cron, status.to_tree());
    history::truncate(&cron, &jobs, plan);
}

/// The status as this plan leaves it.
struct Status {
    active: Vec<Reference>,
    last_schedule_time: Option<Timestamp>,
    last_successful_time: Option<Timestamp>,
}

impl Status {
    fn of(cron: &Seen<CronJob>, jobs: &[Seen<Job>], plan: &mut Plan) -> Self {
        let mut active = cron.status.active.clone();
        let mut last_schedule_time = cron.status.last_schedule_time;
        for job in jobs {
            let is_known = active.iter().any(|known| known.uid == job.uid());
            let due = due_at(job);
            last_schedule_time = last_schedule_time.max(due);
            match job.finished() {
                None if is_known => (),
                None if due.is_some() => active.push(reference(job)),
                None => {
                    let message = format!("Saw a job that the controller did not create or forgot: {}", job.name());
                    plan.event(cron, NoteKind::Warning, "UnexpectedJob", message);
                }
                Some(condition) if is_known => {
                    active.retain(|known| known.uid != job.uid());
                    let message = format!("Saw completed job: {}, condition: {}", job.name(), condition.kind);
                    plan.event(cron, NoteKind::Normal, "SawCompletedJob", message);
                }
                Some(_) => (),
            }
        }
        active.retain(|known| {
            let is_there = jobs.iter().any(|job| job.uid() == known.uid);
            if !is_there {
                plan.event(cron, NoteKind::Normal, "MissingJob", format!("Active job went missing: {}", known.name));
            }
            is_there
        });
        let succeeded = jobs.iter().filter(|job| job.finished().is_some_and(|condition| condition.kind == "Complete"));
        let last_success = succeeded.filter_map(|job| job.status.completion_time).max();
        Self { active, last_schedule_time, last_successful_time: cron.status.last_successful_time.max(last_success) }
    }

    fn to_tree(&self) -> Tree {
        let status = json!({
            "active": self.active.iter().map(Reference::to_tree).collect::<Vec<_>>(),
            "lastScheduleTime": self.last_schedule_time.map(Tree::from),
            "lastSuccessfulTime": self.last_successful_time.map(Tree::from),
        });
        sparse(status, &[])
    }
}

/// When `job` was due, if a schedule made it.
fn due_at(job: &Seen<Job>) -> Option<Timestamp> {
    Timestamp::parse(job.meta().annotation(DUE_AT)?)
}

/// Creates the job that is due, if one is, and asks to be woken when the next will be.
fn start(snap: &Snapshot, cron: &Seen<CronJob>, jobs: &[Seen<Job>], status: &mut Status, plan: &mut Plan) {
    let (schedule, zone) = match clockwork(cron) {
        Ok(clockwork) => clockwork,
        Err((reason, message)) => return plan.event(cron, NoteKind::Warning, reason, message),
    };
    let last = status.last_schedule_time.or(cron.meta().creation_timestamp).unwrap_or(snap.now());
    let deadline = cron.spec.starting_deadline_seconds.map(seconds);
    if let Some(next) = due::next(&schedule, &zone, last, snap.now()) {
        plan.again_after(next.since(snap.now()) + SKEW);
    }
    let due = match due::latest(&schedule, &zone, last, snap.now(), deadline) {
        Due::Never => {
            let why = "time difference between two schedules is less than 1 second";
            let message = format!("invalid schedule: {} : {why}", cron.spec.schedule);
            return plan.event(cron, NoteKind::Warning, "InvalidSchedule", message);
        }
        Due::Later => return,
        Due::At { time, missed_many } => {
            if missed_many {
                let message =
                    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                plan.event(cron, NoteKind::Warning, "TooManyMissedTimes", message);
            }
            time
        }
    };
    if deadline.is_some_and(|deadline| due + deadline < snap.now()) {
        let message = format!("Missed scheduled time to start a job: {}", due.rfc1123());
        return plan.event(cron, NoteKind::Warning, "MissSchedule", message);
    }
    let name = format!("{}-{}", cron.name(), due.as_secs() / 60);
    if status.last_schedule_time == Some(due) || snap.find::<Job>(cron.namespace(), &name).is_some() {
        return;
    }
    match cron.spec.concurrency_policy.as_str() {
        "Forbid" if !status.active.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return plan.event(cron, NoteKind::Normal, "JobAlreadyActive", message);
        }
        "Replace" => {
            for job in jobs.iter().filter(|job| status.active.iter().any(|known| known.uid == job.uid())) {
                delete(cron, job, plan);
            }
            status.active.clear();
        }
        _ => (),
    }
    let told = Told::both(cron, ("SuccessfulCreate", "Created job {}"), ("FailedCreate", "Error creating job: {}"));
    plan.create_and_tell(&JOB, job(cron, &name, &zone.print(due)), told);
}

/// The schedule and whose clocks it means, or what is wrong with them: an event's reason and message.
fn clockwork(cron: &CronJob) -> Result<(Schedule, Zone), (&'static str, String)> {
    let (text, inline) = match zone_in(&cron.spec.schedule) {
        Some((zone, rest)) => (rest, Some(zone)),
        None => (cron.spec.schedule.as_str(), None),
    };
    let name = cron.spec.time_zone.as_deref().or(inline).unwrap_or("");
    let unknown = || ("UnknownTimeZone", format!("invalid timeZone: {name:?}: unknown time zone {name}"));
    let zone = Zone::named(name).ok_or_else(unknown)?;
    let unreadable = |why| ("UnparseableSchedule", format!("unparseable schedule: {:?} : {why}", cron.spec.schedule));
    Ok((Schedule::parse(text).map_err(unreadable)?, zone))
}

/// The zone that old schedules carry before their fields, and the fields.
fn zone_in(schedule: &str) -> Option<(&str, &str)> {
    let rest = schedule.strip_prefix("TZ=").or(schedule.strip_prefix("CRON_TZ="))?;
    rest.split_once(' ').map(|(zone, fields)| (zone, fields.trim()))
}

fn job(cron: &Seen<CronJob>, name: &str, due: &str) -> Tree {
    let template = cron.spec.job_template.tree();
    let mut job = json!({
        "metadata": {
            "name": name, "namespace": cron.namespace(), "ownerReferences": [controller_ref(cron)],
            "annotations": template.at("metadata.annotations").cloned().unwrap_or(json!({})),
        },
        "spec": template.get("spec").cloned().unwrap_or_default(),
    });
    job["metadata"]["annotations"][DUE_AT] = due.into();
    if let Some(labels) = template.at("metadata.labels") {
        job.set("metadata.labels", labels.clone());
    }
    job
}

fn delete(cron: &Seen<CronJob>, job: &Seen<Job>, plan: &mut Plan) {
    if job.is_deleting() {
        return;
    }
    let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::of_uid(job.uid()) };
    let told = Told::both(cron, ("SuccessfulDelete", "Deleted job {}"), ("FailedDelete", "Deleted job: {}"));
    plan.delete_with(job, options, Some(told));
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}
