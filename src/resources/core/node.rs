//! Node: a machine that runs pods.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at};
use crate::resources::numbers::go_struct;
use crate::resources::podspec::affinity;
use crate::resources::{ResourceDef, Rules, Special, Subresource, Version};
use crate::resources::{ip, names, quantities};
use std::collections::BTreeSet;

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["no"],
    subresources: &[
        Special::kind("proxy", "NodeProxyOptions", &["create", "delete", "get", "patch", "update"]),
        Subresource::Status,
    ],
    selectable: &["spec.unschedulable"],
    columns: super::node_columns::COLUMNS,
    rules: &Node,
    ..ResourceDef::cluster("", "Node", "nodes", "node", &[Version::on("v1", "io.k8s.api.core.v1.Node")])
};

pub struct Node;

impl Rules for Node {
    fn default(&self, new: &mut Tree) {
        let single = new.text("spec.podCIDR").to_owned();
        let first = new.items("spec.podCIDRs").first().and_then(Tree::as_str).unwrap_or_default().to_owned();
        if !single.is_empty() && first != single {
            new.set("spec.podCIDRs", json!([single]));
        } else if single.is_empty() && !first.is_empty() {
            new.set("spec.podCIDR", first);
        }
        if !new.has("status.allocatable") && new.has("status.capacity") {
            let capacity = at(new, "status.capacity").clone();
            new.set("status.allocatable", capacity);
        }
    }

    fn keeps_status(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_resources(new, errors);
        if let Some(old) = old {
            check_update(new, old, errors);
        }
        check_taints(new, errors);
        if old.is_none() {
            check_pod_networks(new, errors);
        }
    }

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        check_resources(new, errors);
        check_update(new, old, errors);
        check_taints(new, errors);
    }

    fn selectable_value(&self, at: &dyn Fn(&str) -> Option<Tree>, field: &str) -> Option<String> {
        let is_set = || at(field).and_then(|flag| flag.as_bool()).unwrap_or(false);
        (field == "spec.unschedulable").then(|| is_set().to_string())
    }

    fn prepare_create(&self, new: &mut Tree) {
        new.unset("spec.configSource");
    }
}

/// Upstream names taints as if they were metadata.
fn check_taints(node: &Tree, errors: &mut FieldErrors) {
    let taints = At::new(at(node, "spec.taints"), "metadata.taints");
    let mut seen = BTreeSet::new();
    for taint in taints.items() {
        let (key, value, effect) = (taint.child("key"), taint.child("value"), taint.child("effect"));
        key.format(errors, names::is_qualified_name(key.str()));
        let complaints = names::is_label_value(value.str());
        if !complaints.is_empty() {
            value.invalid_text(errors, complaints.join(";"));
        }
        if effect.is_empty() {
            effect.required(errors, "");
        } else {
            affinity::check_effect(&effect, errors);
        }
        if !seen.insert((key.str(), effect.str())) {
            let mut whole = taint.value.clone();
            for field in ["key", "value", "effect"] {
                whole.set_default(field, "");
            }
            let shown = go_struct(&whole, &["key", "value", "effect", "timeAdded"]);
            errors.duplicate_shown(&*taint.path, &shown, "taints must be unique by key and effect pair");
        }
    }
}

fn check_resources(node: &Tree, errors: &mut FieldErrors) {
    for list in ["status.capacity", "status.allocatable"] {
        for (name, amount) in At::root(node).child(list).entries() {
            quantities::check_amount(name, &At::new(amount.value, format!("{list}.{name}")), errors);
        }
    }
}

fn check_pod_networks(node: &Tree, errors: &mut FieldErrors) {
    let networks = At::root(node).child("spec.podCIDRs");
    let parsed: Vec<_> = networks.items().filter_map(|network| ip::check_network_legacy(&network, errors)).collect();
    let addresses: Vec<_> = parsed.iter().map(|network| network.addr()).collect();
    if networks.len() > 1 && (!ip::is_dual_stack(&addresses) || networks.len() > 2) {
        networks.invalid(errors, "may specify no more than one CIDR for each IP family");
    }
}

fn check_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let mut seen: Vec<&Tree> = Vec::new();
    for address in At::root(new).child("status.addresses").items() {
        if seen.contains(&address.value) {
            errors.duplicate_shown(&*address.path, &go_struct(address.value, &["type", "address"]), "");
        }
        seen.push(address.value);
    }
    let networks = at(old, "spec.podCIDRs");
    if !networks.is_null() && networks != at(new, "spec.podCIDRs") {
        errors.forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid");
    }
    let provider = old.text("spec.providerID");
    if !provider.is_empty() && provider != new.text("spec.providerID") {
        errors.forbidden("spec.providerID", "node updates may not change providerID except from \"\" to valid");
    }
    if old.text("spec.externalID") != new.text("spec.externalID") {
        errors.forbidden("spec.externalID", "may not be updated");
    }
}
