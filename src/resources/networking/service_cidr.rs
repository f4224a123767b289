//! ServiceCIDR: a range that service addresses are taken from.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[Column::NAME, Column::with("CIDRs", cidrs), Column::AGE],
    ..ResourceDef::cluster(
        "networking.k8s.io",
        "ServiceCIDR",
        "servicecidrs",
        "servicecidr",
        &[
            Version::on("v1", "io.k8s.api.networking.v1.ServiceCIDR"),
            Version::off("v1beta1", "io.k8s.api.networking.v1beta1.ServiceCIDR"),
        ],
    )
};

fn cidrs(object: &Tree) -> Tree {
    object.items("spec.cidrs").iter().filter_map(Tree::as_str).collect::<Vec<_>>().join(",").into()
}
