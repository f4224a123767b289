//! ComponentStatus: health of the control plane's parts, worked out on each read.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["cs"],
    verbs: Verbs::ReadOnly,
    deprecation: "v1 ComponentStatus is deprecated in v1.19+",
    columns: &[
        Column::NAME,
        Column::with("Status", status),
        Column::with("Message", |o| healthy(o).text("message").into()),
        Column::with("Error", |o| healthy(o).text("error").into()),
    ],
    ..ResourceDef::cluster(
        "",
        "ComponentStatus",
        "componentstatuses",
        "componentstatus",
        &[Version::on("v1", "io.k8s.api.core.v1.ComponentStatus")],
    )
};

fn healthy(object: &Tree) -> &Tree {
    let mut conditions = object.items("conditions").iter();
    conditions.find(|condition| condition.text("type") == "Healthy").unwrap_or(&Tree::Null)
}

fn status(object: &Tree) -> Tree {
    match healthy(object).text("status") {
        "True" => "Healthy",
        "" => "Unknown",
        _ => "Unhealthy",
    }
    .into()
}
