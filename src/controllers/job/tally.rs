//! What a job's pods have come to: counted, noted, and still to be noted.

use std::collections::{BTreeSet, HashMap};

use super::{FINALIZER, INDEX, has_finalizer, indexes, judge};
use crate::client::Seen;
use crate::object::tree::json;
use crate::object::view::{Job, Pod};
use crate::object::{Tree, TreePath};

/// Pods that are noted in one status at most.
const NOTED_MAX: usize = 500;

#[derive(Default)]
pub struct Tally {
    /// Neither finished nor going.
    pub active: Vec<Seen<Pod>>,
    pub terminating_count: usize,
    /// The counters as the next status has them.
    pub succeeded: i64,
    pub failed: i64,
    /// With pods that are noted, or about to be, but not in the counters yet.
    pub succeeded_in_all: i64,
    pub failed_in_all: i64,
    /// Noted pods, which are to lose their finalizers.
    pub to_release: Vec<Seen<Pod>>,
    noted_succeeded: Vec<String>,
    noted_failed: Vec<String>,
    /// Pods that hold a finalizer and could not be noted yet.
    waiting: bool,
    pub done: BTreeSet<i64>,
    pub lost: BTreeSet<i64>,
    is_indexed: bool,
    has_index_limit: bool,
}

/// How a pod ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Succeeded,
    Failed,
    /// Failed in a way that the job's policy does not count.
    Ignored,
}

/// How a pod ended, if it did. Unless only pods that really failed are replaced, one that is being
/// deleted counts as failed.
pub fn end_of(job: &Job, pod: &Seen<Pod>) -> Option<End> {
    let failed = match pod.status.phase.as_str() {
        "Succeeded" => return Some(End::Succeeded),
        "Failed" => true,
        _ => pod.is_deleting() && !only_replaces_failed(job),
    };
    let ignored = || judge::policy_action(job, pod).is_some_and(|(action, _)| action == "Ignore");
    failed.then(|| if ignored() { End::Ignored } else { End::Failed })
}

pub fn only_replaces_failed(job: &Job) -> bool {
    job.spec.pod_replacement_policy.as_deref() == Some("Failed") || job.spec.pod_failure_policy.is_some()
}

pub fn is_indexed(job: &Job) -> bool {
    job.spec.completion_mode.as_deref() == Some("Indexed")
}

pub fn index_of(pod: &Seen<Pod>) -> Option<i64> {
    pod.meta().annotation(INDEX)?.parse().ok()
}

impl Tally {
    pub fn of(job: &Seen<Job>, pods: &[Seen<Pod>]) -> Self {
        let mut tally = Self {
            succeeded: job.status.succeeded,
            failed: job.status.failed,
            is_indexed: is_indexed(job),
            has_index_limit: job.spec.backoff_limit_per_index.is_some(),
            ..Self::default()
        };
        tally.active = pods.iter().filter(|pod| pod.is_active()).cloned().collect();
        tally.terminating_count = pods.iter().filter(|pod| pod.is_deleting() && !pod.is_terminal()).count();
        tally.settle_notes(job, pods);
        tally.note_finished(job, pods);
        if tally.is_indexed {
            tally.count_indexes(job, pods);
        }
        tally
    }

    /// Noted pods that have lost their finalizer go into the counters.
    fn settle_notes(&mut self, job: &Seen<Job>, pods: &[Seen<Pod>]) {
        let by_uid: HashMap<&str, &Seen<Pod>> = pods.iter().map(|pod| (pod.uid(), pod)).collect();
        let Some(notes) = &job.status.uncounted_terminated_pods else { return };
        for (uids, succeeded) in [(&notes.succeeded, true), (&notes.failed, false)] {
            for uid in uids {
                match by_uid.get(uid.as_str()).filter(|pod| has_finalizer(pod)) {
                    Some(pod) => {
                        self.to_release.push((*pod).clone());
                        if succeeded {
                            self.noted_succeeded.push(uid.clone())
                        } else {
                            self.noted_failed.push(uid.clone())
                        }
                    }
                    None if succeeded => self.succeeded += 1,
                    None => self.failed += 1,
                }
            }
        }
    }

    fn note_finished(&mut self, job: &Seen<Job>, pods: &[Seen<Pod>]) {
        self.succeeded_in_all = self.succeeded + self.noted_succeeded.len() as i64;
        self.failed_in_all = self.failed + self.noted_failed.len() as i64;
        for pod in pods.iter().filter(|pod| has_finalizer(pod)) {
            let uid = pod.uid().to_owned();
            let is_noted = self.noted_succeeded.contains(&uid) || self.noted_failed.contains(&uid);
            let Some(end) = end_of(job, pod).filter(|_| !is_noted) else { continue };
            match end {
                End::Succeeded => self.succeeded_in_all += 1,
                End::Failed => self.failed_in_all += 1,
                End::Ignored => (),
            }
            if self.to_release.len() >= NOTED_MAX {
                self.waiting = true;
                continue;
            }
            self.to_release.push(pod.clone());
            match end {
                // The completed indexes say it already.
                End::Succeeded if self.is_indexed => (),
                End::Succeeded => self.noted_succeeded.push(uid),
                End::Failed => self.noted_failed.push(uid),
                End::Ignored => (),
            }
        }
    }

    fn count_indexes(&mut self, job: &Seen<Job>, pods: &[Seen<Pod>]) {
        let limit = job.spec.completions.unwrap_or(0);
        self.done = indexes::parse(&job.status.completed_indexes, limit);
        for pod in pods.iter().filter(|pod| pod.status.phase == "Succeeded" && has_finalizer(pod)) {
            self.done.extend(index_of(pod).filter(|index| (0..limit).contains(index)));
        }
        self.succeeded = self.done.len() as i64;
        self.succeeded_in_all = self.succeeded;
        if let Some(limit_per_index) = job.spec.backoff_limit_per_index {
            self.lost = indexes::parse(job.status.failed_indexes.as_deref().unwrap_or(""), limit);
            for pod in pods.iter().filter(|pod| end_of(job, pod) == Some(End::Failed)) {
                let fails_index = judge::policy_action(job, pod).is_some_and(|(action, _)| action == "FailIndex");
                if fails_index || judge::failures_before(pod) >= limit_per_index {
                    let open = index_of(pod).filter(|index| (0..limit).contains(index) && !self.done.contains(index));
                    self.lost.extend(open);
                }
            }
        }
    }

    /// No pod is left that would still have to be counted.
    pub fn is_settled(&self) -> bool {
        self.to_release.is_empty() && self.active.is_empty() && !self.waiting
    }

    pub fn completed_indexes(&self) -> String {
        indexes::print(&self.done)
    }

    pub fn failed_indexes(&self) -> Option<String> {
        self.has_index_limit.then(|| indexes::print(&self.lost))
    }

    pub fn uncounted(&self) -> Tree {
        let mut notes = json!({});
        for (name, uids) in [("succeeded", &self.noted_succeeded), ("failed", &self.noted_failed)] {
            if !uids.is_empty() {
                notes.set(name, uids.clone());
            }
        }
        notes
    }
}

/// The finalizer's name, for templates.
pub fn finalizers() -> Tree {
    json!([FINALIZER])
}
