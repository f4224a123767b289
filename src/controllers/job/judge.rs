//! Whether a job is over, and why: failure before success, old verdicts before new ones.

use std::time::Duration;

use super::tally::{End, Tally, end_of, is_indexed};
use super::{is_suspended, seconds};
use crate::client::Seen;
use crate::object::Timestamp;
use crate::object::view::{Condition, FailureRule, Job, Pod};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Success { reason: String, message: String },
    Failure { reason: String, message: String },
}

impl Ending {
    fn failure(reason: &str, message: &str) -> Self {
        Self::Failure { reason: reason.into(), message: message.into() }
    }

    /// The condition while the last pods go, and the one that stays.
    pub fn condition_types(&self) -> (&'static str, &'static str) {
        match self {
            Self::Success { .. } => ("SuccessCriteriaMet", "Complete"),
            Self::Failure { .. } => ("FailureTarget", "Failed"),
        }
    }

    pub fn reason(&self) -> &str {
        let (Self::Success { reason, .. } | Self::Failure { reason, .. }) = self;
        reason
    }

    pub fn message(&self) -> &str {
        let (Self::Success { message, .. } | Self::Failure { message, .. }) = self;
        message
    }
}

pub fn ending(job: &Seen<Job>, pods: &[Seen<Pod>], tally: &Tally, now: Timestamp) -> Option<Ending> {
    let earlier = |kind: &str| job.status.conditions.iter().find(|c| c.kind == kind && c.is_true());
    let of = |Condition { reason, message, .. }: &Condition| (reason.clone(), message.clone());
    if let Some((reason, message)) = earlier("SuccessCriteriaMet").map(of) {
        return Some(Ending::Success { reason, message });
    }
    if let Some((reason, message)) = earlier("FailureTarget").map(of) {
        return Some(Ending::Failure { reason, message });
    }
    by_policy(job, pods)
        .or_else(|| by_limits(job, pods, tally, now))
        .or_else(|| by_indexes(job, tally))
        .or_else(|| by_success_policy(job, tally))
        .or_else(|| by_completions(job, tally))
}

fn by_policy(job: &Seen<Job>, pods: &[Seen<Pod>]) -> Option<Ending> {
    let failed = pods.iter().filter(|pod| pod.status.phase == "Failed");
    let verdicts = failed.filter_map(|pod| policy_action(job, pod));
    let fatal = verdicts.into_iter().find(|(action, _)| action == "FailJob");
    fatal.map(|(_, message)| Ending::Failure { reason: "PodFailurePolicy".into(), message })
}

fn by_limits(job: &Seen<Job>, pods: &[Seen<Pod>], tally: &Tally, now: Timestamp) -> Option<Ending> {
    let limit = job.spec.backoff_limit.unwrap_or(6);
    let restarts = restarts(pods);
    let restarted_too_often = if limit == 0 { restarts > 0 } else { restarts >= limit };
    if tally.failed_in_all > limit || restarted_too_often {
        return Some(Ending::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
    }
    time_left(job, now)
        .is_some_and(|left| left.is_zero())
        .then(|| Ending::failure("DeadlineExceeded", "Job was active longer than specified deadline"))
}

/// Restarts of containers count as failures where pods restart them themselves.
fn restarts(pods: &[Seen<Pod>]) -> i64 {
    let restarting = pods.iter().filter(|pod| {
        pod.spec.restart_policy == "OnFailure" && matches!(pod.status.phase.as_str(), "Running" | "Pending")
    });
    let statuses =
        restarting.flat_map(|pod| pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses));
    statuses.map(|status| status.restart_count).sum()
}

fn by_indexes(job: &Seen<Job>, tally: &Tally) -> Option<Ending> {
    if !is_indexed(job) || job.spec.backoff_limit_per_index.is_none() {
        return None;
    }
    let (lost, done) = (tally.lost.len() as i64, tally.done.len() as i64);
    if job.spec.max_failed_indexes.is_some_and(|max| lost > max) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Some(Ending::failure("MaxFailedIndexesExceeded", message));
    }
    let all_over = lost > 0 && lost + done >= job.spec.completions.unwrap_or(0);
    all_over.then(|| Ending::failure("FailedIndexes", "Job has failed indexes"))
}

fn by_success_policy(job: &Seen<Job>, tally: &Tally) -> Option<Ending> {
    let policy = job.spec.success_policy.as_ref().filter(|_| is_indexed(job))?;
    let limit = job.spec.completions.unwrap_or(0);
    for (number, rule) in policy.rules.iter().enumerate() {
        let wanted = rule.succeeded_indexes.as_deref().map(|text| super::indexes::parse(text, limit));
        let matching = match &wanted {
            Some(wanted) => wanted.intersection(&tally.done).count() as i64,
            None => tally.done.len() as i64,
        };
        let enough = rule.succeeded_count.unwrap_or(wanted.map_or(limit, |wanted| wanted.len() as i64));
        if matching >= enough {
            let message = format!("Matched rules at index {number}");
            return Some(Ending::Success { reason: "SuccessPolicy".into(), message });
        }
    }
    None
}

fn by_completions(job: &Seen<Job>, tally: &Tally) -> Option<Ending> {
    let complete = match job.spec.completions {
        None => tally.succeeded_in_all > 0,
        Some(completions) => tally.succeeded_in_all >= completions,
    };
    let idle = tally.active.is_empty();
    (complete && idle).then(|| Ending::Success {
        reason: "CompletionsReached".into(),
        message: "Reached expected number of succeeded pods".into(),
    })
}

/// Time until the active deadline, if there is one.
pub fn time_left(job: &Job, now: Timestamp) -> Option<Duration> {
    let deadline = seconds(job.spec.active_deadline_seconds.filter(|_| !is_suspended(job))?);
    let start = job.status.start_time.unwrap_or(now);
    Some((start + deadline).since(now))
}

/// What the pod failure policy says about a failed pod, and why.
pub fn policy_action(job: &Job, pod: &Seen<Pod>) -> Option<(String, String)> {
    let policy = job.spec.pod_failure_policy.as_ref().filter(|_| pod.status.phase == "Failed")?;
    policy.rules.iter().enumerate().find_map(|(number, rule)| {
        let why = matches(rule, pod)?;
        let message = format!("{why} matching {} rule at index {number}", rule.action);
        Some((rule.action.clone(), message))
    })
}

fn matches(rule: &FailureRule, pod: &Seen<Pod>) -> Option<String> {
    let place = format!("{}/{}", pod.namespace(), pod.name());
    if let Some(codes) = &rule.on_exit_codes {
        let statuses = pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses);
        let named = statuses.filter(|status| codes.container_name.as_ref().is_none_or(|name| *name == status.name));
        return named.into_iter().find_map(|status| {
            let code = status.state.terminated.as_ref()?.exit_code;
            let listed = codes.values.contains(&code);
            let hit = code != 0 && if codes.operator == "NotIn" { !listed } else { listed };
            hit.then(|| format!("Container {} for pod {place} failed with exit code {code}", status.name))
        });
    }
    let hit = rule.on_pod_conditions.iter().find(|wanted| {
        let status = if wanted.status.is_empty() { "True" } else { &wanted.status };
        pod.condition(&wanted.kind).is_some_and(|condition| condition.status == status)
    });
    hit.map(|wanted| format!("Pod {place} has condition {}", wanted.kind))
}

/// How often this pod's index had failed before it.
pub fn failures_before(pod: &Seen<Pod>) -> i64 {
    let count = pod.meta().annotation("batch.kubernetes.io/job-index-failure-count");
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// How long to wait before replacing failed pods: it doubles with each failure since the last success.
pub fn backoff(job: &Job, pods: &[Seen<Pod>], now: Timestamp) -> Option<Duration> {
    const FIRST: Duration = Duration::from_secs(10);
    const MAX: Duration = Duration::from_secs(600);
    let mut ends: Vec<(Timestamp, End)> =
        pods.iter().filter_map(|pod| Some((ended_at(pod, now), end_of(job, pod)?))).collect();
    ends.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let failures = ends.iter().take_while(|(_, end)| *end != End::Succeeded).count() as u32;
    let (last, _) = ends.first().filter(|_| failures > 0)?;
    let delay = FIRST.saturating_mul(1u32.checked_shl(failures - 1).unwrap_or(u32::MAX)).min(MAX);
    let left = (*last + delay).since(now);
    (!left.is_zero()).then_some(left)
}

fn ended_at(pod: &Seen<Pod>, now: Timestamp) -> Timestamp {
    let finished =
        pod.status.container_statuses.iter().filter_map(|status| status.state.terminated.as_ref()?.finished_at);
    let ready = || pod.condition("Ready").and_then(|ready| ready.last_transition_time);
    finished.max().or(pod.meta().deletion_timestamp().filter(|_| !pod.is_terminal())).or_else(ready).unwrap_or(now)
}
