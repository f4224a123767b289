//! ResourceQuota: how much a namespace may use altogether.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["quota"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::with("Request", |o| usage(o, false)),
        Column::with("Limit", |o| usage(o, true)),
        Column::AGE,
    ],
    ..ResourceDef::namespaced(
        "",
        "ResourceQuota",
        "resourcequotas",
        "resourcequota",
        &[Version::on("v1", "io.k8s.api.core.v1.ResourceQuota")],
    )
};

/// `resource: used/hard` of each resource that is (or is not) a limit.
fn usage(quota: &Tree, limits: bool) -> Tree {
    let used =
        |name: &str| quota.at("status.used").map_or("0", |used| used.get(name).and_then(Tree::as_str).unwrap_or("0"));
    let hard = quota.map("status.hard").into_iter().flatten();
    let chosen = hard.filter(|(name, _)| name.starts_with("limits.") == limits);
    let shown = chosen.map(|(name, hard)| format!("{name}: {}/{}", used(name), hard.as_str().unwrap_or("0")));
    shown.collect::<Vec<_>>().join(", ").into()
}
