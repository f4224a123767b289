//! EndpointSlice: some of the addresses behind a service.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::some_of;
use crate::resources::check::{At, at, immutable};
use crate::resources::defaults::each;
use crate::resources::labels::check_labels;
use crate::resources::{Column, ResourceDef, Rules, Version};
use crate::resources::{ip, names};
use std::collections::BTreeSet;

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::path("AddressType", "addressType"),
        Column::with("Ports", ports),
        Column::with("Endpoints", addresses),
        Column::AGE,
    ],
    rules: &EndpointSlice,
    ..ResourceDef::namespaced(
        "discovery.k8s.io",
        "EndpointSlice",
        "endpointslices",
        "endpointslice",
        &[Version::on("v1", "io.k8s.api.discovery.v1.EndpointSlice")],
    )
};

fn ports(object: &Tree) -> Tree {
    let shown = |port: &Tree| match port.int("port") {
        Some(number) => number.to_string(),
        None => port.get("name").and_then(Tree::as_str).unwrap_or("*").to_owned(),
    };
    some_of(object.items("ports").iter().map(shown).collect(), 3).into()
}

fn addresses(object: &Tree) -> Tree {
    let addresses = object.items("endpoints").iter().flat_map(|endpoint| endpoint.items("addresses"));
    some_of(addresses.filter_map(Tree::as_str).map(str::to_owned).collect(), 3).into()
}

pub struct EndpointSlice;

impl Rules for EndpointSlice {
    fn default(&self, new: &mut Tree) {
        each(new, "ports", |port| {
            port.set_default("name", "");
            port.set_default("protocol", "TCP");
        });
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let root = At::root(new);
        root.child("addressType").one_of(errors, &["FQDN", "IPv4", "IPv6"]);
        check_ports(&root.child("ports"), errors);
        if old.is_none_or(|old| old.get("endpoints") != new.get("endpoints")) {
            check_endpoints(&root.child("endpoints"), new.text("addressType"), errors);
        }
        if let Some(old) = old {
            immutable(errors, new, old, "addressType");
        }
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let warning = "spec.addressType: FQDN endpoints are deprecated";
        (new.text("addressType") == "FQDN").then(|| warning.to_owned()).into_iter().collect()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn bumps_generation(&self, new: &Tree, old: &Tree) -> bool {
        ["ports", "endpoints"].iter().any(|field| new.get(field) != old.get(field))
            || at(new, "metadata.labels") != at(old, "metadata.labels")
    }
}

fn check_ports(ports: &At, errors: &mut FieldErrors) {
    if ports.len() > 20_000 {
        return errors.too_many(&*ports.path, ports.len(), 20_000);
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let (name, protocol, app) = (port.child("name"), port.child("protocol"), port.child("appProtocol"));
        if !name.is_empty() {
            name.format(errors, names::is_dns1123_label(name.str()));
        }
        if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
        if !matches!(protocol.str(), "SCTP" | "TCP" | "UDP") {
            protocol.not_supported(errors, &["SCTP", "TCP", "UDP"]);
        }
        if app.exists() {
            app.format(errors, names::is_qualified_name(app.str()));
        }
    }
}

fn check_endpoints(endpoints: &At, kind: &str, errors: &mut FieldErrors) {
    if endpoints.len() > 1000 {
        return errors.too_many(&*endpoints.path, endpoints.len(), 1000);
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.child("addresses");
        if addresses.is_empty() {
            addresses.required(errors, "must contain at least 1 address");
        } else if addresses.len() > 100 {
            errors.too_many(&*addresses.path, addresses.len(), 100);
        }
        addresses.items().for_each(|address| check_address(&address, &addresses.path, kind, errors));
        let (node, host, hints) = (endpoint.child("nodeName"), endpoint.child("hostname"), endpoint.child("hints"));
        if node.exists() {
            node.format(errors, names::is_dns1123_subdomain(node.str()));
        }
        let topology = endpoint.child("deprecatedTopology");
        if topology.len() > 16 {
            errors.too_many(&*topology.path, topology.len(), 16);
        }
        check_labels(&topology, errors);
        if host.exists() {
            host.format(errors, names::is_dns1123_label(host.str()));
        }
        check_hints(&hints.child("forZones"), names::is_label_value, errors);
        check_hints(&hints.child("forNodes"), names::is_dns1123_subdomain, errors);
    }
}

/// The wrong family is a complaint about the list.
fn check_address(address: &At, list: &str, kind: &str, errors: &mut FieldErrors) {
    let before = errors.list.len();
    let parsed = match kind {
        "IPv4" => ip::check_legacy(address, errors),
        "IPv6" => ip::check_strict(address, errors),
        "FQDN" => return check_domain(address, errors),
        _ => return,
    };
    let Some(parsed) = parsed.filter(|_| errors.list.len() == before) else { return };
    if parsed.is_ipv4() != (kind == "IPv4") {
        errors.invalid(list, address.str(), format!("must be an {kind} address"));
    }
    ip::check_reachable(address, errors);
}

fn check_domain(name: &At, errors: &mut FieldErrors) {
    let text = name.str().strip_suffix('.').unwrap_or(name.str());
    if name.is_empty() {
        return name.required(errors, "");
    }
    let complaints = names::is_dns1123_subdomain(text);
    if !complaints.is_empty() {
        errors.invalid(&*name.path, text, complaints.join(","));
    } else if !text.contains('.') {
        errors.invalid(&*name.path, text, "should be a domain with at least two segments separated by dots");
    }
}

fn check_hints(hints: &At, format: fn(&str) -> Vec<String>, errors: &mut FieldErrors) {
    if hints.len() > 8 {
        return errors.too_many(&*hints.path, hints.len(), 8);
    }
    let mut seen = BTreeSet::new();
    for hint in hints.items() {
        let name = hint.child("name");
        if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
        name.format(errors, format(name.str()));
    }
}
