//! ResourceQuota: what would take more than its namespace may use is refused; what fits is charged
//! in the same write, so that the numbers are never behind.

use crate::api::encode;
use crate::api::pipeline::Api;
use crate::api::pipeline::act::Act;
use crate::object::sums::{Sum, add, amounts};
use crate::object::tree::{Map, Tree, TreePath};
use crate::object::{GroupResource, ObjectRef, Quantity, Reason, Status, quota};
use crate::store::{Action, Command, Expect, KeyRange, Outcome, Write};

use super::{Attributes, Operation};

const QUOTAS: &str = "resourcequotas";
/// Whose the numbers are that a write changes.
const MANAGER: &str = "kube-apiserver";
/// How often a write is tried again because its namespace's quotas changed meanwhile.
const ATTEMPTS_MAX: usize = 16;

impl Api {
    /// Proposes `command`, the writing of `new`, and with it what `new` takes of quotas. The first
    /// write of `command` is the one whose conflict is the caller's business.
    pub(crate) async fn propose_charged(
        &self,
        act: &Act,
        operation: Operation,
        old: Option<&ObjectRef>,
        new: &Tree,
        command: Command,
    ) -> Result<Outcome, Status> {
        if !self.has_quota(act.namespace()) {
            return self.propose(command).await;
        }
        // One after the other: all would charge the same quotas, and all but one would lose.
        let _turn = self.quota_turn.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let mut command = command.clone();
            command.writes.extend(self.charges(act, operation, old, new)?);
            match self.propose(command).await? {
                Outcome::Failed { index, .. } if index > 0 => continue,
                outcome => return Ok(outcome),
            }
        }
        let why = "Operation cannot be fulfilled: the namespace's quotas keep changing; try again";
        Err(Status::new(Reason::Conflict, why))
    }

    /// Refuses a write that takes more than there is; the writes that charge for one that fits.
    pub(crate) fn charges(
        &self,
        act: &Act,
        operation: Operation,
        old: Option<&ObjectRef>,
        new: &Tree,
    ) -> Result<Vec<Write>, Status> {
        if !self.has_quota(act.namespace()) {
            return Ok(Vec::new());
        }
        let (state, old) = (self.state(), old.map(|old| old.tree()));
        let on = Attributes::of(self, act, &state, operation, old.as_ref());
        let resource = on.resource.name.as_str();
        if !quota::is_counted(resource) || !is_charged(&on, new) {
            return Ok(Vec::new());
        }
        let mut writes = Vec::new();
        let Some(definition) = self.registry.find("", "v1", QUOTAS) else { return Ok(writes) };
        for stored in on.list(QUOTAS, on.namespace) {
            let before = stored.tree();
            let mut tree = before.clone();
            if !charge(&on, &mut tree, resource, new)? {
                continue;
            }
            self.track_status(&definition, MANAGER, &before, &mut tree);
            let payload = encode::payload(&tree, &definition)?;
            let (key, expect) = (stored.key().clone(), Expect::Revision(stored.revision()));
            writes.push(Write { key, expect, action: Action::Put(payload) });
        }
        Ok(writes)
    }

    fn has_quota(&self, namespace: &str) -> bool {
        let range = KeyRange::namespace(&GroupResource::new("", QUOTAS), namespace);
        !namespace.is_empty() && self.state().range(&range).next().is_some()
    }
}

/// Whether this kind of write can change what is used.
fn is_charged(on: &Attributes<'_>, new: &Tree) -> bool {
    let is_new = on.operation == Operation::Create;
    match (on.resource.name.as_str(), on.subresource) {
        ("pods", "") => is_new || on.old.is_some_and(|old| is_limited_in_time(old) != is_limited_in_time(new)),
        ("pods", "resize") => !is_new,
        ("persistentvolumeclaims", "status") => {
            let granted = |claim: &Tree| amounts(claim, "status.allocatedResources").remove("storage");
            on.old.is_some_and(|old| granted(old) != granted(new))
        }
        ("services" | "persistentvolumeclaims", "") => true,
        (_, "") => is_new,
        _ => false,
    }
}

fn is_limited_in_time(pod: &Tree) -> bool {
    pod.int("spec.activeDeadlineSeconds").is_some_and(|secs| secs >= 0)
}

/// Charges one quota; false if the write is none of its business.
fn charge(on: &Attributes<'_>, quota: &mut Tree, resource: &str, new: &Tree) -> Result<bool, Status> {
    if !quota::covers(quota, resource, new) {
        return Ok(false);
    }
    let name = quota.text("metadata.name").to_owned();
    let (hard, used) = (amounts(quota, "status.hard"), amounts(quota, "status.used"));
    let concerned: Vec<&str> =
        hard.keys().map(String::as_str).filter(|name| quota::speaks_of(name, resource)).collect();
    if resource == "pods"
        && let Some(missing) = quota::missing_in_pod(new, concerned.iter().copied())
    {
        return Err(on.forbidden(new, format!("failed quota: {name}: {missing}")));
    }
    if concerned.iter().any(|name| !used.contains_key(*name)) {
        let names = concerned.join(",");
        return Err(on.forbidden(new, format!("status unknown for quota: {name}, resources: {names}")));
    }
    let asked = difference(on, quota, resource, new);
    if let Some(names) = joined(asked.keys().filter(|name| asked[*name].is_negative())) {
        return Err(on.forbidden(new, format!("quota usage is negative for resource(s): {names}")));
    }
    let asked: Sum = asked.into_iter().filter(|(name, amount)| hard.contains_key(name) && !amount.is_zero()).collect();
    if asked.is_empty() {
        return Ok(false);
    }
    let mut total = used.clone();
    add(&mut total, &asked);
    let over: Vec<&String> = asked.keys().filter(|name| total[*name] > hard[*name]).collect();
    if !over.is_empty() && on.subresource != "status" {
        let show = |amounts: &Sum| {
            let shown =
                over.iter().map(|name| format!("{name}={}", amounts.get(*name).copied().unwrap_or(Quantity::ZERO)));
            shown.collect::<Vec<_>>().join(",")
        };
        let (asked, used, hard) = (show(&asked), show(&used), show(&hard));
        let told = format!("exceeded quota: {name}, requested: {asked}, used: {used}, limited: {hard}");
        return Err(on.forbidden(new, told));
    }
    let shown: Map = total.into_iter().map(|(name, amount)| (name, amount.to_string())).collect();
    quota.set("status.used", shown);
    Ok(true)
}

fn joined<'n>(names: impl Iterator<Item = &'n String>) -> Option<String> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// What the write takes in addition: nothing is given back here, the controller sees to that.
fn difference(on: &Attributes<'_>, quota: &Tree, resource: &str, new: &Tree) -> Sum {
    let mut asked = quota::use_of(resource, new, on.now);
    let Some(old) = on.old.filter(|old| on.operation == Operation::Update && quota::covers(quota, resource, old))
    else {
        return asked;
    };
    for (name, before) in quota::use_of(resource, old, on.now) {
        if let Some(amount) = asked.get_mut(&name) {
            *amount = if *amount > before { *amount - before } else { Quantity::ZERO };
        }
    }
    asked
}
