//! Ingress: hTTP routes from outside to services.

use crate::object::tree::{Tree, TreePath};
use crate::resources::core::service_columns::load_balancer_addresses;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ing"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path_or("Class", "spec.ingressClassName", "<none>"),
        Column::with("Hosts", |o| hosts(o).into()),
        Column::with("Address", address),
        Column::with("Ports", ports),
        Column::AGE,
    ],
    ..ResourceDef::namespaced(
        "networking.k8s.io",
        "Ingress",
        "ingresses",
        "ingress",
        &[Version::on("v1", "io.k8s.api.networking.v1.Ingress")],
    )
};

/// The hosts of the first three rules, and how many more rules there are.
fn hosts(ingress: &Tree) -> String {
    let rules = ingress.items("spec.rules");
    let mut hosts = Vec::new();
    for rule in rules {
        if hosts.len() == 3 {
            return format!("{} + {} more...", hosts.join(","), rules.len() - 3);
        }
        if !rule.text("host").is_empty() {
            hosts.push(rule.text("host"));
        }
    }
    if hosts.is_empty() { "*".into() } else { hosts.join(",") }
}

fn address(ingress: &Tree) -> Tree {
    load_balancer_addresses(ingress).into_iter().collect::<Vec<_>>().join(",").into()
}

fn ports(ingress: &Tree) -> Tree {
    if ingress.items("spec.tls").is_empty() { "80" } else { "80, 443" }.into()
}
