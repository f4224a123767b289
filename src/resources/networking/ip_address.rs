//! IPAddress: an address in use by a service.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::{Column, ResourceDef, Rules, Version};
use crate::resources::{ip, names};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ip"],
    columns: &[Column::NAME, Column::with("ParentRef", parent), Column::AGE.unannounced()],
    rules: &IPAddress,
    ..ResourceDef::cluster(
        "networking.k8s.io",
        "IPAddress",
        "ipaddresses",
        "ipaddress",
        &[
            Version::on("v1", "io.k8s.api.networking.v1.IPAddress"),
            Version::off("v1beta1", "io.k8s.api.networking.v1beta1.IPAddress"),
        ],
    )
};

/// `resource.group/namespace/name` of what the address is for.
fn parent(object: &Tree) -> Tree {
    let Some(parent) = object.at("spec.parentRef") else { return "<none>".into() };
    let mut text = parent.text("resource").to_owned();
    for (mark, part) in [(".", "group"), ("/", "namespace")] {
        if !parent.text(part).is_empty() {
            text += &format!("{mark}{}", parent.text(part));
        }
    }
    format!("{}/{}", text.to_lowercase(), parent.text("name")).into()
}

pub struct IPAddress;

impl Rules for IPAddress {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            return immutable(errors, new, old, "spec.parentRef");
        }
        let parent = At::root(new).child("spec.parentRef");
        if !parent.exists() {
            return parent.required(errors, "");
        }
        let group = parent.child("group");
        if !group.is_empty() {
            group.format(errors, names::is_dns1123_subdomain(group.str()));
        }
        for (field, needed) in [("resource", true), ("name", true), ("namespace", false)] {
            let place = parent.child(field);
            if place.is_empty() && needed {
                place.required(errors, "");
            }
            place.format(errors, names::path_segment(place.str(), false));
        }
    }

    fn validate_name(&self, name: &str, _is_prefix: bool) -> Vec<String> {
        let (text, mut errors) = (Tree::from(name), FieldErrors::default());
        ip::check_strict(&At::new(&text, ""), &mut errors);
        let detail = |body: String| body.rsplit_once("\": ").map_or(body.clone(), |(_, detail)| detail.to_owned());
        errors.list.into_iter().map(|error| detail(error.body)).collect()
    }
}
