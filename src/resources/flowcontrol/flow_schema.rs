//! FlowSchema: which requests have which priority level.

use crate::object::tree::{Tree, TreePath};
use crate::resources::cells;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path("PriorityLevel", "spec.priorityLevelConfiguration.name"),
        Column::number("MatchingPrecedence", "spec.matchingPrecedence").of("string"),
        Column::path_or("DistinguisherMethod", "spec.distinguisherMethod.type", "<none>"),
        Column::AGE,
        Column::with("MissingPL", dangling),
    ],
    ..ResourceDef::cluster(
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        "flowschemas",
        "flowschema",
        &[Version::on("v1", "io.k8s.api.flowcontrol.v1.FlowSchema")],
    )
};

/// Whether the priority level that it names is missing.
fn dangling(object: &Tree) -> Tree {
    cells::condition(object, "Dangling").map_or("?", |condition| condition.text("status")).into()
}
