//! Finished jobs of a cron job: so many that succeeded and so many that failed are kept.

use super::delete;
use crate::client::Seen;
use crate::controllers::runtime::Plan;
use crate::object::view::{CronJob, Job};

pub fn truncate(cron: &Seen<CronJob>, jobs: &[Seen<Job>], plan: &mut Plan) {
    let limits =
        [("Complete", cron.spec.successful_jobs_history_limit), ("Failed", cron.spec.failed_jobs_history_limit)];
    for (end, limit) in limits {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let mut ended: Vec<&Seen<Job>> = jobs.iter().filter(|job| ended_as(job, end)).collect();
        ended.sort_by_key(|job| (job.status.start_time.is_none(), job.status.start_time, job.name().to_owned()));
        let excess = ended.len().saturating_sub(limit);
        ended.into_iter().take(excess).for_each(|job| delete(cron, job, plan));
    }
}

fn ended_as(job: &Seen<Job>, end: &str) -> bool {
    job.finished().is_some_and(|condition| condition.kind == end)
}
