//! What `kubectl get services` shows: addresses and ports.

use std::collections::BTreeSet;

use crate::object::tree::{Tree, TreePath};
use crate::resources::Column;
use crate::resources::cells::labels;

pub static COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("Type", "spec.type"),
    Column::with("Cluster-IP", |s| {
        s.items("spec.clusterIPs").first().and_then(Tree::as_str).unwrap_or("<none>").into()
    }),
    Column::with("External-IP", |s| external(s).into()),
    Column::with("Port(s)", ports),
    Column::AGE,
    Column::with("Selector", |s| labels(s.at("spec.selector")).into()).wide(),
];

fn external(service: &Tree) -> String {
    let own = service.items("spec.externalIPs").iter().filter_map(Tree::as_str);
    match service.text("spec.type") {
        "ClusterIP" | "NodePort" => joined(own, "<none>"),
        "LoadBalancer" => joined(load_balancer_addresses(service).iter().map(String::as_str).chain(own), "<pending>"),
        "ExternalName" => service.text("spec.externalName").to_owned(),
        _ => "<unknown>".into(),
    }
}

fn joined<'t>(parts: impl Iterator<Item = &'t str>, none: &str) -> String {
    let text = parts.collect::<Vec<_>>().join(",");
    if text.is_empty() { none.into() } else { text }
}

/// Addresses in `status.loadBalancer`, sorted.
pub fn load_balancer_addresses(object: &Tree) -> BTreeSet<String> {
    let address = |ingress: &Tree| match (ingress.text("ip"), ingress.text("hostname")) {
        ("", "") => None,
        ("", hostname) => Some(hostname.to_owned()),
        (ip, _) => Some(ip.to_owned()),
    };
    object.items("status.loadBalancer.ingress").iter().filter_map(address).collect()
}

fn ports(service: &Tree) -> Tree {
    let port = |port: &Tree| {
        let (number, protocol) = (port.int("port").unwrap_or(0), port.text("protocol"));
        match port.int("nodePort") {
            Some(node_port) if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    };
    let ports: Vec<String> = service.items("spec.ports").iter().map(port).collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",").into() }
}
