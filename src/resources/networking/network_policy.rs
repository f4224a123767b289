//! NetworkPolicy: who may talk to a set of pods.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::cells::selector;
use crate::resources::check::At;
use crate::resources::defaults::each;
use crate::resources::{Column, ResourceDef, Rules, Version};
use crate::resources::{ip, labels, names};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["netpol"],
    columns: &[Column::NAME, Column::with("Pod-Selector", |o| selector(o.at("spec.podSelector")).into()), Column::AGE],
    rules: &NetworkPolicy,
    ..ResourceDef::namespaced(
        "networking.k8s.io",
        "NetworkPolicy",
        "networkpolicies",
        "networkpolicy",
        &[Version::on("v1", "io.k8s.api.networking.v1.NetworkPolicy")],
    )
};

pub struct NetworkPolicy;

impl Rules for NetworkPolicy {
    fn default(&self, new: &mut Tree) {
        for list in ["spec.ingress", "spec.egress"] {
            each(new, list, |rule| each(rule, "ports", |port| port.set_default("protocol", "TCP")));
        }
        if new.items("spec.policyTypes").is_empty() {
            let egress = !new.items("spec.egress").is_empty();
            new.set("spec.policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        labels::check_selector(&spec.child("podSelector"), errors);
        for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
            for rule in spec.child(rules).items() {
                rule.child("ports").items().for_each(|port| check_port(&port, errors));
                rule.child(peers).items().for_each(|peer| check_peer(&peer, errors));
            }
        }
        let types = spec.child("policyTypes");
        if types.len() > 2 {
            return types.invalid(errors, "may not specify more than two policyTypes");
        }
        for kind in types.items().filter(|kind| !matches!(kind.str(), "Ingress" | "Egress")) {
            kind.not_supported(errors, &["Ingress", "Egress"]);
        }
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn check_port(port: &At, errors: &mut FieldErrors) {
    let (protocol, number, end) = (port.child("protocol"), port.child("port"), port.child("endPort"));
    if protocol.exists() && !matches!(protocol.str(), "TCP" | "UDP" | "SCTP") {
        protocol.not_supported(errors, &["TCP", "UDP", "SCTP"]);
    }
    if let Some(first) = number.int() {
        number.number_format(errors, names::is_port_number(first));
        if let Some(last) = end.int() {
            if last < first {
                errors.invalid(&*end.path, first, "must be greater than or equal to `port`");
            }
            end.number_format(errors, names::is_port_number(last));
        }
        return;
    }
    if number.exists() {
        if end.exists() {
            end.invalid(errors, "may not be specified when `port` is non-numeric");
        }
        number.format(errors, names::is_port_name(number.str()));
    } else if end.exists() {
        end.invalid(errors, "may not be specified when `port` is not specified");
    }
}

fn check_peer(peer: &At, errors: &mut FieldErrors) {
    let block = peer.child("ipBlock");
    let mut peers = usize::from(block.exists());
    for selector in ["podSelector", "namespaceSelector"] {
        peers += usize::from(peer.child(selector).exists());
        labels::check_selector(&peer.child(selector), errors);
    }
    if block.exists() {
        check_block(&block, errors);
    }
    if peers == 0 {
        peer.required(errors, "must specify a peer");
    } else if peers > 1 && block.exists() {
        peer.forbidden(errors, "may not specify both ipBlock and another peer");
    }
}

fn check_block(block: &At, errors: &mut FieldErrors) {
    let network = block.child("cidr");
    if network.is_empty() {
        return network.required(errors, "");
    }
    let Some(whole) = ip::check_network_legacy(&network, errors) else { return };
    for except in block.child("except").items() {
        let Some(part) = ip::check_network_legacy(&except, errors) else { continue };
        if !whole.contains(&part.network()) || whole.prefix_len() >= part.prefix_len() {
            except.invalid(errors, "must be a strict subset of `cidr`");
        }
    }
}
