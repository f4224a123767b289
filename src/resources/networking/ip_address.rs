//! IPAddress: an address in use by a service.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ip"],
    columns: &[Column::NAME, Column::with("ParentRef", parent)],
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
