//! Work that ends: jobs and their schedules.

use super::common::{Condition, Raw, Reference};
use super::selector::LabelSelector;
use crate::object::time::Timestamp;

views! { Job = "jobs.batch", CronJob = "cronjobs.batch" }

fields! {
    Job {
        spec: JobSpec,
        status: JobStatus,
    }

    JobSpec {
        parallelism: Option<i64>,
        completions: Option<i64>,
        active_deadline_seconds: Option<i64>,
        backoff_limit: Option<i64>,
        backoff_limit_per_index: Option<i64>,
        max_failed_indexes: Option<i64>,
        selector: Option<LabelSelector>,
        manual_selector: Option<bool>,
        template: Raw,
        ttl_seconds_after_finished: Option<i64>,
        completion_mode: Option<String>,
        suspend: Option<bool>,
        pod_replacement_policy: Option<String>,
        pod_failure_policy: Option<FailurePolicy>,
        success_policy: Option<SuccessPolicy>,
        managed_by: Option<String>,
    }

    FailurePolicy {
        rules: Vec<FailureRule>,
    }

    FailureRule {
        action: String,
        on_exit_codes: Option<OnExitCodes>,
        on_pod_conditions: Vec<OnPodCondition>,
    }

    OnExitCodes {
        container_name: Option<String>,
        operator: String,
        values: Vec<i64>,
    }

    OnPodCondition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
    }

    SuccessPolicy {
        rules: Vec<SuccessRule>,
    }

    SuccessRule {
        succeeded_indexes: Option<String>,
        succeeded_count: Option<i64>,
    }

    JobStatus {
        conditions: Vec<Condition>,
        start_time: Option<Timestamp>,
        completion_time: Option<Timestamp>,
        active: i64,
        succeeded: i64,
        failed: i64,
        terminating: Option<i64>,
        ready: Option<i64>,
        completed_indexes: String,
        failed_indexes: Option<String>,
        uncounted_terminated_pods: Option<Uncounted>,
    }

    /// Finished pods that have lost, or are about to lose, their tracking finalizer but are not yet
    /// in the counters.
    Uncounted {
        succeeded: Vec<String>,
        failed: Vec<String>,
    }

    CronJob {
        spec: CronJobSpec,
        status: CronJobStatus,
    }

    CronJobSpec {
        schedule: String,
        time_zone: Option<String>,
        starting_deadline_seconds: Option<i64>,
        concurrency_policy: String,
        suspend: Option<bool>,
        job_template: Raw,
        successful_jobs_history_limit: Option<i64>,
        failed_jobs_history_limit: Option<i64>,
    }

    CronJobStatus {
        active: Vec<Reference>,
        last_schedule_time: Option<Timestamp>,
        last_successful_time: Option<Timestamp>,
    }
}

impl Job {
    /// The condition that says how it ended, once it has.
    pub fn finished(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|c| matches!(c.kind.as_str(), "Complete" | "Failed") && c.is_true())
    }
}
