//! ServiceCIDR: a range that service addresses are taken from.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::ip;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[Column::NAME, Column::with("CIDRs", cidrs), Column::AGE],
    rules: &ServiceCIDR,
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

pub struct ServiceCIDR;

impl Rules for ServiceCIDR {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let networks = At::root(new).child("spec.cidrs");
        let before = old.map_or(&[][..], |old| old.items("spec.cidrs"));
        let grows = before.len() == 1 && networks.len() == 2;
        if old.is_some() && before.len() != networks.len() && !grows {
            return networks.invalid(errors, "field is immutable");
        }
        for (network, _) in networks.items().zip(before).filter(|(network, before)| network.value != *before) {
            network.invalid(errors, "field is immutable");
        }
        if old.is_none() || grows {
            check_networks(&networks, errors);
        }
    }
}

fn check_networks(networks: &At, errors: &mut FieldErrors) {
    if networks.is_empty() {
        return networks.required(errors, "at least one CIDR required");
    }
    if networks.len() > 2 {
        return networks.invalid(errors, "may only hold up to 2 values");
    }
    let parsed: Vec<_> = networks.items().filter_map(|network| ip::check_network_strict(&network, errors)).collect();
    let addresses: Vec<_> = parsed.iter().map(|network| network.addr()).collect();
    if parsed.len() == 2 && !ip::is_dual_stack(&addresses) {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        networks.invalid(errors, detail);
    }
}
