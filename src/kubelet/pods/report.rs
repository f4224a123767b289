//! Writes a pod's status into the API, only when it says something new.

use super::status::{BY_KUBELET, OWNED};
use crate::client::{Client, DeleteOptions};
use crate::kubelet::spec::Pod;
use crate::object::kind::POD;
use crate::object::{Reason, Status, Tree, TreePath};

/// Conflicts that are met before giving up; the next change tries again.
const ATTEMPTS_MAX: usize = 5;

/// What one pod's status was last said to be.
#[derive(Default)]
pub struct Report {
    sent: Option<Tree>,
}

impl Report {
    /// The status that the next one is built on: our own last word, with others' conditions as
    /// they stand in the API.
    pub fn base(&self, api: &Tree) -> Tree {
        self.sent.as_ref().map_or_else(|| api.clone(), |sent| with_others(sent, api))
    }

    /// Sends `status` unless the API has it. A pod that is gone needs none.
    pub async fn send(&mut self, client: &Client, pod: &Pod, status: Tree) -> Result<(), Status> {
        if self.sent.as_ref() == Some(&status) || (self.sent.is_none() && pod.status == status) {
            return Ok(());
        }
        for _ in 0..ATTEMPTS_MAX {
            let Some(object) = client.find(&POD, pod.namespace(), pod.name()).await? else { return Ok(()) };
            if object.meta().uid() != pod.uid() {
                return Ok(());
            }
            let mut tree = object.tree();
            let merged = with_others(&status, tree.at("status").unwrap_or(&Tree::Null));
            tree.set("status", merged);
            match client.update_status(&POD, tree).await {
                Ok(_) => {
                    self.sent = Some(status);
                    return Ok(());
                }
                Err(conflict) if conflict.is(Reason::Conflict) => (),
                Err(gone) if gone.is(Reason::NotFound) => return Ok(()),
                Err(status) => return Err(status),
            }
        }
        Err(Status::new(Reason::Conflict, "the pod keeps changing while its status is written"))
    }
}

/// Our `status` with the conditions of others that `api` has.
fn with_others(status: &Tree, api: &Tree) -> Tree {
    let is_ours = |one: &&Tree| OWNED.contains(&one.text("type")) || one.text("reason") == BY_KUBELET;
    let mut conditions: Vec<Tree> = api.items("conditions").iter().filter(|one| !is_ours(one)).cloned().collect();
    for ours in status.items("conditions").iter().filter(is_ours) {
        if !conditions.iter().any(|one| one.text("type") == ours.text("type")) {
            conditions.push(ours.clone());
        }
    }
    let mut merged = status.clone();
    if !conditions.is_empty() {
        merged.set("conditions", conditions);
    }
    merged
}

/// Takes the pod's object away, now that nothing of it is left on this node.
pub async fn delete(client: &Client, pod: &Pod) -> Result<(), Status> {
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(pod.uid()) };
    match client.delete(&POD, &POD.key(pod.namespace(), pod.name()), &options).await {
        Err(status) if status.is(Reason::NotFound) || status.is(Reason::Conflict) => Ok(()),
        other => other.map(drop),
    }
}
