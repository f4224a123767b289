//! Certificate signing requests: who asks is who is logged in, and conditions bear their times.

use super::{Attributes, Operation, Plugin};
use crate::object::Status;
use crate::object::tree::{Tree, TreePath, json};

pub struct SigningRequests;

impl Plugin for SigningRequests {
    fn admit(&self, on: &Attributes<'_>, request: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if on.resource.name.as_str() != "certificatesigningrequests.certificates.k8s.io" {
            return Ok(());
        }
        match on.operation {
            Operation::Create => set_user(on, request),
            Operation::Update => set_times(on, request),
            _ => (),
        }
        Ok(())
    }
}

/// What the client says about itself does not count.
fn set_user(on: &Attributes<'_>, request: &mut Tree) {
    for field in ["username", "uid", "groups", "extra"] {
        request.unset(&format!("spec.{field}"));
    }
    let user = on.user;
    request.set("spec.username", user.name.as_str());
    if !user.uid.is_empty() {
        request.set("spec.uid", user.uid.as_str());
    }
    if !user.groups.is_empty() {
        request.set("spec.groups", json!(user.groups));
    }
    if !user.extra.is_empty() {
        request.set("spec.extra", json!(user.extra));
    }
}

fn set_times(on: &Attributes<'_>, request: &mut Tree) {
    let now = on.now.to_string();
    let before: Vec<Tree> = on.old.map(|old| old.items("status.conditions").to_vec()).unwrap_or_default();
    let Some(conditions) = request.at_mut("status.conditions").and_then(Tree::as_array_mut) else { return };
    for condition in conditions.iter_mut().filter(|condition| condition.is_object()) {
        if condition.text("lastUpdateTime").is_empty() {
            condition.set("lastUpdateTime", now.as_str());
        }
        if condition.text("lastTransitionTime").is_empty() {
            let same = before.iter().find(|old| {
                old.text("type") == condition.text("type") && old.text("status") == condition.text("status")
            });
            let since = same.map(|old| old.text("lastTransitionTime")).filter(|time| !time.is_empty());
            let since = since.unwrap_or(&now).to_owned();
            condition.set("lastTransitionTime", since);
        }
    }
}
