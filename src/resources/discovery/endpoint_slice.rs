//! EndpointSlice: some of the addresses behind a service.

use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::some_of;
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::path("AddressType", "addressType"),
        Column::with("Ports", ports),
        Column::with("Endpoints", addresses),
        Column::AGE,
    ],
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
