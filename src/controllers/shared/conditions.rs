//! Lists of conditions, changed as upstream changes them.

use crate::object::tree::json;
use crate::object::view::Condition;
use crate::object::{Timestamp, Tree, TreePath};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions(Vec<Condition>);

/// A condition that came to be at `now`.
pub fn condition(kind: &str, status: &str, reason: &str, message: impl Into<String>, now: Timestamp) -> Condition {
    Condition {
        kind: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Some(now),
        ..Condition::default()
    }
}

impl Conditions {
    pub fn of(conditions: &[Condition]) -> Self {
        Self(conditions.to_vec())
    }

    pub fn get(&self, kind: &str) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.kind == kind)
    }

    pub fn is_true(&self, kind: &str) -> bool {
        self.get(kind).is_some_and(Condition::is_true)
    }

    /// Puts `condition` at the end in place of an older one; one of the same status and reason
    /// stays as it is, one of the same status keeps its transition time.
    pub fn set(&mut self, mut condition: Condition) {
        if let Some(old) = self.get(&condition.kind) {
            if old.status == condition.status && old.reason == condition.reason {
                return;
            }
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time;
            }
        }
        self.remove(&condition.kind);
        self.0.push(condition);
    }

    /// Puts `condition` where the older one is. The transition time moves only with the status.
    pub fn set_in_place(&mut self, mut condition: Condition) {
        match self.0.iter_mut().find(|old| old.kind == condition.kind) {
            Some(old) => {
                if old.status == condition.status {
                    condition.last_transition_time = old.last_transition_time;
                }
                *old = condition;
            }
            None => self.0.push(condition),
        }
    }

    pub fn remove(&mut self, kind: &str) {
        self.0.retain(|condition| condition.kind != kind);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter()
    }

    pub fn to_tree(&self) -> Tree {
        Tree::Array(self.0.iter().map(to_tree).collect())
    }
}

/// A condition's JSON, without empty fields.
pub fn to_tree(condition: &Condition) -> Tree {
    let mut tree = json!({"type": condition.kind, "status": condition.status});
    let times = [
        ("lastTransitionTime", condition.last_transition_time),
        ("lastUpdateTime", condition.last_update_time),
        ("lastProbeTime", condition.last_probe_time),
        ("lastHeartbeatTime", condition.last_heartbeat_time),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            tree.set(name, time);
        }
    }
    for (name, text) in [("reason", &condition.reason), ("message", &condition.message)] {
        if !text.is_empty() {
            tree.set(name, text.as_str());
        }
    }
    if condition.observed_generation != 0 {
        tree.set("observedGeneration", condition.observed_generation);
    }
    tree
}
