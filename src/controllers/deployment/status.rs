//! How far a rollout has come, as the deployment's status tells it.

use std::time::Duration;

use super::revision::REVISION;
use super::rollout::Rollout;
use crate::client::Seen;
use crate::controllers::runtime::Plan;
use crate::controllers::shared::conditions::{Conditions, condition};
use crate::controllers::shared::status::sparse;
use crate::object::tree::json;
use crate::object::view::{Condition, Deployment, DeploymentStatus, ReplicaSetStatus};
use crate::object::{Timestamp, Tree, TreePath};

const PROGRESSING: &str = "Progressing";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// The status while a plan is being made.
pub struct Progress<'a> {
    deployment: &'a Seen<Deployment>,
    conditions: Conditions,
    collision_count: Option<i64>,
    judge: bool,
    now: Timestamp,
}

/// All of its pods are there, of the new template, and available.
pub fn is_complete(deployment: &Seen<Deployment>, status: &DeploymentStatus) -> bool {
    let desired = deployment.spec.replicas.unwrap_or(1);
    status.updated_replicas == desired
        && status.replicas == desired
        && status.available_replicas == desired
        && status.observed_generation >= deployment.meta().generation
}

impl<'a> Progress<'a> {
    pub fn of(deployment: &'a Seen<Deployment>, now: Timestamp) -> Self {
        Self {
            deployment,
            conditions: Conditions::of(&deployment.status.conditions),
            collision_count: deployment.status.collision_count,
            judge: !deployment.is_deleting(),
            now,
        }
    }

    /// Count, but do not judge progress: a change of scale is no rollout.
    pub fn only_count(&mut self) {
        self.judge = false;
    }

    /// Pausing stops the clock of the progress deadline; resuming starts it anew.
    pub fn note_pause(&mut self) {
        let reason = self.conditions.get(PROGRESSING).map(|condition| condition.reason.clone());
        if self.deadline().is_none() || reason.as_deref() == Some(TIMED_OUT) {
            return;
        }
        let is_noted = reason.as_deref() == Some("DeploymentPaused");
        match (self.deployment.spec.paused, is_noted) {
            (true, false) => self.set(PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused"),
            (false, true) => self.set(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed"),
            _ => (),
        }
    }

    pub fn note_found(&mut self, rollout: &Rollout) {
        if let Some(new) = rollout.new_set()
            && self.deadline().is_some()
            && self.conditions.get(PROGRESSING).is_none()
        {
            let message = format!("Found new replica set {:?}", new.set.name());
            self.set(PROGRESSING, "True", "FoundNewReplicaSet", &message);
        }
    }

    pub fn note_created(&mut self, name: &str) {
        if self.deadline().is_some() {
            self.set(PROGRESSING, "True", "NewReplicaSetCreated", &format!("Created new replica set {name:?}"));
        }
    }

    pub fn note_create_failed(&mut self, name: &str, why: &str) {
        if self.deadline().is_some() {
            let message = format!("Failed to create new replica set {name:?}: {why}");
            self.set(PROGRESSING, "False", "ReplicaSetCreateError", &message);
        }
    }

    pub fn note_collision(&mut self) {
        self.collision_count = Some(self.collision_count.unwrap_or(0) + 1);
    }

    fn deadline(&self) -> Option<Duration> {
        let seconds = self.deployment.spec.progress_deadline_seconds?;
        (seconds != i64::from(i32::MAX)).then(|| Duration::from_secs(seconds.unsigned_abs()))
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        self.conditions.set(self.condition(kind, status, reason, message));
    }

    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Condition {
        Condition { last_update_time: Some(self.now), ..condition(kind, status, reason, message, self.now) }
    }

    pub fn write(mut self, rollout: &Rollout, plan: &mut Plan) {
        let counts = count(self.deployment, rollout);
        self.judge_availability(&counts, rollout);
        if self.judge {
            self.judge_progress(&counts, rollout);
            self.carry_failures(rollout);
            self.come_back(&counts, plan);
        }
        let status = json!({
            "observedGeneration": counts.observed_generation,
            "replicas": counts.replicas,
            "updatedReplicas": counts.updated_replicas,
            "readyReplicas": counts.ready_replicas,
            "availableReplicas": counts.available_replicas,
            "unavailableReplicas": counts.unavailable_replicas,
            "terminatingReplicas": counts.terminating_replicas,
            "collisionCount": self.collision_count,
            "conditions": self.conditions.to_tree(),
        });
        let Tree::Object(mut status) = status else { unreachable!("made an object above") };
        status.retain(|_, value| !value.is_null());
        let status = sparse(Tree::Object(status), &["terminatingReplicas", "collisionCount"]);
        // The revision of the new set goes along: written as a part of the status, it is no change
        // of the deployment that would have to be rolled out.
        let revision = rollout.revision().filter(|_| !self.deployment.is_deleting());
        plan.update_status(self.deployment, |object| {
            if object.get("status").unwrap_or(&Tree::Null) != &status {
                object.set("status", status);
            }
            if let Some(revision) = revision.filter(|new| self.deployment.meta().annotation(REVISION) != Some(*new)) {
                object.set_default("metadata.annotations", json!({}));
                object["metadata"]["annotations"][REVISION] = revision.into();
            }
        });
    }

    fn judge_availability(&mut self, counts: &DeploymentStatus, rollout: &Rollout) {
        if counts.available_replicas >= rollout.desired() - rollout.max_unavailable() {
            self.set("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.");
        } else {
            let message = "Deployment does not have minimum availability.";
            self.set("Available", "False", "MinimumReplicasUnavailable", message);
        }
    }

    fn judge_progress(&mut self, counts: &DeploymentStatus, rollout: &Rollout) {
        let Some(deadline) = self.deadline() else { return self.conditions.remove(PROGRESSING) };
        let current = self.conditions.get(PROGRESSING).cloned();
        let was_complete = current.as_ref().is_some_and(|condition| condition.reason == COMPLETE);
        if counts.replicas == counts.updated_replicas && was_complete {
            return;
        }
        let subject = match rollout.new_set() {
            Some(new) => format!("ReplicaSet {:?}", new.set.name()),
            None => format!("Deployment {:?}", self.deployment.name()),
        };
        if is_complete(self.deployment, counts) {
            self.set(PROGRESSING, "True", COMPLETE, &format!("{subject} has successfully progressed."));
        } else if has_progressed(&self.deployment.status, counts) {
            let message = format!("{subject} is progressing.");
            let mut progress = self.condition(PROGRESSING, "True", "ReplicaSetUpdated", &message);
            if let Some(current) = current.filter(Condition::is_true) {
                progress.last_transition_time = current.last_transition_time;
            }
            self.conditions.remove(PROGRESSING);
            self.conditions.set(progress);
        } else if current.is_some_and(|current| self.is_overdue(&current, deadline)) {
            self.set(PROGRESSING, "False", TIMED_OUT, &format!("{subject} has timed out progressing."));
        }
    }

    fn is_overdue(&self, progress: &Condition, deadline: Duration) -> bool {
        match progress.reason.as_str() {
            COMPLETE => false,
            TIMED_OUT => true,
            _ => progress.last_update_time.is_some_and(|since| since + deadline < self.now),
        }
    }

    /// Failures of the new set, or else of an old one, are failures of the deployment.
    fn carry_failures(&mut self, rollout: &Rollout) {
        let failure_of = |status: &ReplicaSetStatus| {
            status.conditions.iter().find(|condition| condition.kind == "ReplicaFailure").cloned()
        };
        let new = rollout.new_set().and_then(|new| failure_of(&new.set.status));
        match new.or_else(|| rollout.sets.iter().find_map(|sized| failure_of(&sized.set.status))) {
            Some(failure) => {
                let last_update_time = failure.last_transition_time;
                self.conditions.set(Condition { last_update_time, ..failure });
            }
            None => self.conditions.remove("ReplicaFailure"),
        }
    }

    /// Looks again when the deadline has passed.
    fn come_back(&self, counts: &DeploymentStatus, plan: &mut Plan) {
        let Some(deadline) = self.deadline() else { return };
        let Some(progress) = self.conditions.get(PROGRESSING).filter(|progress| progress.reason != TIMED_OUT) else {
            return;
        };
        if let Some(since) = progress.last_update_time.filter(|_| !is_complete(self.deployment, counts)) {
            plan.again_after((since + deadline).since(self.now) + Duration::from_secs(1));
        }
    }
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    new.updated_replicas > old.updated_replicas
        || new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

fn count(deployment: &Seen<Deployment>, rollout: &Rollout) -> DeploymentStatus {
    let sum = |of: fn(&ReplicaSetStatus) -> i64| rollout.sets.iter().map(|sized| of(&sized.set.status)).sum();
    let terminating = rollout.sets.iter().map(|sized| &sized.set.status);
    let terminating = terminating.map(|status| match status.terminating_replicas {
        None if status.observed_generation == 0 => Some(0),
        known => known,
    });
    DeploymentStatus {
        observed_generation: deployment.meta().generation,
        replicas: sum(|status| status.replicas),
        updated_replicas: rollout.new_set().map_or(0, |new| new.set.status.replicas),
        ready_replicas: sum(|status| status.ready_replicas),
        available_replicas: rollout.available(),
        unavailable_replicas: (rollout.total() - rollout.available()).max(0),
        terminating_replicas: terminating.sum(),
        ..DeploymentStatus::default()
    }
}
