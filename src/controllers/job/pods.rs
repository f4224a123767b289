//! Which pods a running job creates and deletes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::tally::{Tally, finalizers, index_of, is_indexed, only_replaces_failed};
use super::{BURST_MAX, INDEX, is_suspended, judge};
use crate::client::{Seen, Snapshot};
use crate::controllers::shared::pods::{deletion_order, from_template};
use crate::object::tree::json;
use crate::object::view::{Job, Pod};
use crate::object::{Tree, TreePath};

#[derive(Default)]
pub struct Change {
    pub create: Vec<Tree>,
    pub delete: Vec<Seen<Pod>>,
    /// Creating has to wait this long.
    pub wait: Option<Duration>,
}

pub fn change(snap: &Snapshot, job: &Seen<Job>, pods: &[Seen<Pod>], tally: &Tally) -> Change {
    let active = &tally.active;
    if is_suspended(job) {
        return Change { delete: active.clone(), ..Change::default() };
    }
    let parallelism = job.spec.parallelism.unwrap_or(1).max(0) as usize;
    let wanted = match job.spec.completions {
        // Any success means that the rest may finish, and no more are needed.
        None if tally.succeeded_in_all > 0 => active.len().min(parallelism),
        None => parallelism,
        Some(completions) => {
            let open = completions - tally.succeeded_in_all - tally.lost.len() as i64;
            parallelism.min(usize::try_from(open).unwrap_or(0))
        }
    };
    let needless = needless(job, tally);
    if active.len() > wanted || !needless.is_empty() {
        let extra = active.len().saturating_sub(wanted).max(needless.len());
        let mut delete = needless;
        let rest = active.iter().filter(|pod| !delete.iter().any(|other| other.uid() == pod.uid())).cloned();
        let rest = deletion_order(snap, rest.collect());
        delete.extend(rest.into_iter().take(extra - delete.len().min(extra)));
        delete.truncate(BURST_MAX);
        return Change { delete, ..Change::default() };
    }
    let leaving = if only_replaces_failed(job) { tally.terminating_count } else { 0 };
    let missing = wanted.saturating_sub(active.len() + leaving).min(BURST_MAX);
    if missing == 0 {
        return Change::default();
    }
    if let Some(left) = judge::backoff(job, pods, snap.now()) {
        return Change { wait: Some(left), ..Change::default() };
    }
    let create = if is_indexed(job) { create_indexed(job, pods, tally, missing) } else { vec![plain(job); missing] };
    Change { create, ..Change::default() }
}

/// Active pods of an indexed job whose index is out of range, done, lost, or taken twice.
fn needless(job: &Seen<Job>, tally: &Tally) -> Vec<Seen<Pod>> {
    if !is_indexed(job) {
        return Vec::new();
    }
    let limit = job.spec.completions.unwrap_or(0);
    let mut taken = BTreeSet::new();
    let mut needless = tally.active.clone();
    needless.retain(|pod| {
        let index = index_of(pod).filter(|index| (0..limit).contains(index));
        !index.is_some_and(|index| !tally.done.contains(&index) && !tally.lost.contains(&index) && taken.insert(index))
    });
    needless
}

fn plain(job: &Seen<Job>) -> Tree {
    let mut pod = from_template(job, &job.spec.template.tree());
    pod.set("metadata.generateName", format!("{}-", job.name()));
    pod.set("metadata.finalizers", finalizers());
    pod
}

fn create_indexed(job: &Seen<Job>, pods: &[Seen<Pod>], tally: &Tally, count: usize) -> Vec<Tree> {
    let limit = job.spec.completions.unwrap_or(0);
    let mut taken: BTreeSet<i64> = tally.active.iter().filter_map(index_of).collect();
    if only_replaces_failed(job) {
        taken.extend(pods.iter().filter(|pod| pod.is_deleting() && !pod.is_terminal()).filter_map(index_of));
    }
    let open =
        (0..limit).filter(|index| !taken.contains(index) && !tally.done.contains(index) && !tally.lost.contains(index));
    open.take(count).map(|index| indexed(job, pods, index)).collect()
}

fn indexed(job: &Seen<Job>, pods: &[Seen<Pod>], index: i64) -> Tree {
    let mut pod = plain(job);
    let text = index.to_string();
    pod.set("metadata.generateName", format!("{}-{index}-", job.name()));
    for map in ["annotations", "labels"] {
        pod.set_default(&format!("metadata.{map}"), json!({}));
        pod["metadata"][map][INDEX] = text.as_str().into();
    }
    if job.spec.backoff_limit_per_index.is_some() {
        let failed = pods.iter().filter(|pod| index_of(pod) == Some(index) && pod.status.phase == "Failed");
        let failures = failed.map(|pod| judge::failures_before(pod) + 1).max().unwrap_or(0);
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] = failures.to_string().into();
    }
    pod.set_default("spec.hostname", format!("{}-{index}", job.name()));
    for list in ["spec.initContainers", "spec.containers"] {
        if let Some(Tree::Array(containers)) = pod.at_mut(list) {
            containers.iter_mut().for_each(tell_index);
        }
    }
    pod
}

fn tell_index(container: &mut Tree) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    if container.items("env").iter().any(|variable| variable.text("name") == NAME) {
        return;
    }
    container.set_default("env", json!([]));
    if let Some(Tree::Array(env)) = container.get_mut("env") {
        let path = format!("metadata.labels['{INDEX}']");
        env.push(json!({"name": NAME, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    }
}
