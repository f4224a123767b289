//! The status of a pod: what the kubelet and the scheduler may say.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at, immutable};
use crate::resources::{ip, names};

/// The condition of a pod that waits for its scheduling gates.
pub fn gated(since: &str) -> Tree {
    json!({
        "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastProbeTime": null,
        "lastTransitionTime": since, "message": "Scheduling is blocked due to non-empty scheduling gates",
    })
}

/// Keeps each single address and the list of addresses that took its place the same.
pub fn default(pod: &mut Tree) {
    for (one, many) in [("status.podIP", "status.podIPs"), ("status.hostIP", "status.hostIPs")] {
        let single = pod.text(one).to_owned();
        let first = pod.items(many).first().map(|entry| entry.text("ip").to_owned()).unwrap_or_default();
        if !single.is_empty() && first != single && (one == "status.podIP" || first.is_empty()) {
            pod.set(many, json!([{"ip": single}]));
        } else if single.is_empty() && !first.is_empty() {
            pod.set(one, first);
        }
    }
}

pub fn check(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let status = At::root(new).child("status");
    check_conditions(&status.child("conditions"), errors);
    if at(new, "spec.nodeName") != at(old, "spec.nodeName") {
        status.child("nodeName").forbidden(errors, "may not be changed directly");
    }
    let nominated = status.child("nominatedNodeName");
    if !nominated.is_empty() && nominated.str() != old.text("status.nominatedNodeName") {
        nominated.format(errors, names::is_dns1123_subdomain(nominated.str()));
        if !old.text("spec.nodeName").is_empty() {
            nominated.forbidden(errors, "may not be set on pods that are already bound to a node");
        }
    }
    let observed = status.child("observedGeneration");
    if observed.int().is_some_and(|generation| generation < 0) {
        observed.invalid(errors, "must be a non-negative integer");
    }
    immutable(errors, new, old, "status.qosClass");
    check_transitions(&status, old, "containerStatuses", "containers", errors);
    check_transitions(&status, old, "initContainerStatuses", "initContainers", errors);
    check_transitions(&status, old, "ephemeralContainerStatuses", "", errors);
    check_claim_statuses(&status, new, errors);
    check_addresses(&status, "podIPs", errors);
    let hosts = status.child("hostIPs");
    if let Some(first) = hosts.items().next()
        && first.text("ip") != status.text("hostIP")
    {
        first.child("ip").invalid_text(errors, "must be equal to `hostIP`");
    }
    check_addresses(&status, "hostIPs", errors);
}

fn check_conditions(conditions: &At, errors: &mut FieldErrors) {
    for condition in conditions.items() {
        let observed = condition.child("observedGeneration");
        if observed.int().is_some_and(|generation| generation < 0) {
            observed.invalid(errors, "must be a non-negative integer");
        }
        let kind = condition.text("type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            for complaint in names::is_qualified_name(kind) {
                errors.invalid(condition.path_to("Type"), kind, complaint);
            }
        }
    }
}

/// A container that has ended for good cannot run again.
fn check_transitions(status: &At, old: &Tree, list: &str, specs: &str, errors: &mut FieldErrors) {
    let new = status.child(list);
    if !specs.is_empty() && all_may_restart(at(old, "spec")) {
        return;
    }
    for (place, before) in at(old, "status").items(list).iter().enumerate() {
        let Some(exit) = before.at("state.terminated").filter(|state| !state.is_null()) else { continue };
        let runs = |after: &At| after.value.get("name") == before.get("name") && !after.has("state.terminated");
        if !new.items().any(|after| runs(&after)) {
            continue;
        }
        let spec = at(old, "spec");
        let container = spec.items(specs).iter().find(|container| container.get("name") == before.get("name"));
        let code = exit.int("exitCode").unwrap_or(0);
        if !container.is_some_and(|container| may_restart(container, spec, code)) {
            new.index(place).child("state").forbidden(errors, "may not be transitioned to non-terminated state");
        }
    }
}

/// Whether some container can make all of them begin anew, whatever their policies are.
fn all_may_restart(spec: &Tree) -> bool {
    let containers = spec.items("containers").iter().chain(spec.items("initContainers"));
    let mut rules = containers.flat_map(|container| container.items("restartPolicyRules"));
    rules.any(|rule| rule.text("action") == "RestartAllContainers")
}

fn may_restart(container: &Tree, spec: &Tree, exit_code: i64) -> bool {
    for rule in container.items("restartPolicyRules") {
        let listed = rule.items("exitCodes.values").iter().any(|value| value.as_i64() == Some(exit_code));
        let hit = match rule.text("exitCodes.operator") {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if hit {
            return true;
        }
    }
    let own = container.text("restartPolicy");
    match if own.is_empty() { spec.text("restartPolicy") } else { own } {
        "Always" => true,
        "OnFailure" => exit_code != 0,
        _ => false,
    }
}

fn check_claim_statuses(status: &At, pod: &Tree, errors: &mut FieldErrors) {
    let mut seen = std::collections::BTreeSet::new();
    for entry in status.child("resourceClaimStatuses").items() {
        let (name, claim) = (entry.child("name"), entry.child("resourceClaimName"));
        if !pod.items("spec.resourceClaims").iter().any(|known| known.text("name") == name.str()) {
            name.invalid_text(errors, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
        if claim.exists() {
            claim.format(errors, names::is_dns1123_subdomain(claim.str()));
        }
    }
}

fn check_addresses(status: &At, list: &str, errors: &mut FieldErrors) {
    let place = status.child(list);
    // Upstream names the entry, not the field in it.
    let named = place.items().map(|entry| At::new(entry.child("ip").value, &*entry.path));
    let addresses: Vec<_> = named.filter_map(|address| ip::check_legacy(&address, errors)).collect();
    if place.len() > 1 && (!ip::is_dual_stack(&addresses) || place.len() > 2) {
        place.invalid(errors, "may specify no more than one IP for each IP family");
    }
}
