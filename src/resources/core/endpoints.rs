//! Endpoints: addresses behind a service, in one object.

use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::some_of;
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ep"],
    columns: &[Column::NAME, Column::with("Endpoints", |o| addresses(o).into()), Column::AGE],
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
                    list.extend(ips.clone().map(|ip| join_host_port(ip, port)));
                }
            }
        }
    }
    if list.is_empty() { String::new() } else { some_of(list, 3) }
}

fn join_host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
