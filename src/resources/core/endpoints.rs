//! Endpoints: addresses behind a service, in one object.

use crate::base::address;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::some_of;
use crate::resources::check::At;
use crate::resources::defaults::{each, set_if_empty};
use crate::resources::{Column, ResourceDef, Rules, Version};
use crate::resources::{ip, names};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ep"],
    columns: &[Column::NAME, Column::with("Endpoints", |o| addresses(o).into()), Column::AGE],
    rules: &Endpoints,
    deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ..ResourceDef::namespaced(
        "",
        "Endpoints",
        "endpoints",
        "endpoints",
        &[Version::on("v1", "io.k8s.api.core.v1.Endpoints")],
    )
};

/// The first three addresses with their ports, and how many more there are.
fn addresses(object: &Tree) -> String {
    let subsets = object.items("subsets");
    if subsets.is_empty() {
        return "<none>".into();
    }
    let mut list = Vec::new();
    for subset in subsets {
        let ips = subset.items("addresses").iter().map(|address| address.text("ip"));
        match subset.items("ports") {
            [] => list.extend(ips.map(str::to_owned)),
            ports => {
                for port in ports {
                    let port = port.int("port").unwrap_or(0);
                    list.extend(ips.clone().map(|ip| address::join(ip, port)));
                }
            }
        }
    }
    if list.is_empty() { String::new() } else { some_of(list, 3) }
}

pub struct Endpoints;

impl Rules for Endpoints {
    fn default(&self, new: &mut Tree) {
        each(new, "subsets", |subset| each(subset, "ports", |port| set_if_empty(port, "protocol", "TCP")));
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if old.is_some_and(|old| old.get("subsets") == new.get("subsets")) {
            return; // what was once accepted may stay
        }
        for subset in At::root(new).child("subsets").items() {
            let lists = [subset.child("addresses"), subset.child("notReadyAddresses")];
            if lists.iter().all(At::is_empty) {
                subset.required(errors, "must specify `addresses` or `notReadyAddresses`");
            }
            lists.iter().flat_map(At::items).for_each(|address| check_address(&address, errors));
            let ports = subset.child("ports");
            ports.items().for_each(|port| check_port(&port, ports.len() > 1, errors));
        }
    }

    fn warnings(&self, _new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()]
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

fn check_address(address: &At, errors: &mut FieldErrors) {
    let (ip, host, node) = (address.child("ip"), address.child("hostname"), address.child("nodeName"));
    ip::check_legacy(&ip, errors);
    if !host.is_empty() {
        host.format(errors, names::is_dns1123_label(host.str()));
    }
    if node.exists() {
        node.format(errors, names::is_dns1123_subdomain(node.str()));
    }
    ip::check_reachable(&ip, errors);
}

fn check_port(port: &At, needs_name: bool, errors: &mut FieldErrors) {
    let (name, number, protocol) = (port.child("name"), port.child("port"), port.child("appProtocol"));
    if !name.is_empty() {
        name.format(errors, names::is_dns1123_label(name.str()));
    } else if needs_name {
        name.required(errors, "");
    }
    number.number_format(errors, names::is_port_number(number.int().unwrap_or(0)));
    port.child("protocol").one_of(errors, &["SCTP", "TCP", "UDP"]);
    if protocol.exists() {
        protocol.format(errors, names::is_qualified_name(protocol.str()));
    }
}
