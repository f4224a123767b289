//! PodGroup: pods that are scheduled together.

use crate::object::tree::{Tree, TreePath};
use crate::resources::cells;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::with("Policy", policy),
        Column::path_or("Workload", "spec.podGroupTemplateRef.workload.workloadName", "<none>"),
        Column::with("Status", status),
        Column::AGE,
    ],
    ..ResourceDef::namespaced(
        "scheduling.k8s.io",
        "PodGroup",
        "podgroups",
        "podgroup",
        &[Version::off("v1alpha2", "io.k8s.api.scheduling.v1alpha2.PodGroup")],
    )
};

fn policy(object: &Tree) -> Tree {
    if object.has("spec.schedulingPolicy.gang") { "Gang" } else { "Basic" }.into()
}

fn status(object: &Tree) -> Tree {
    if let Some(disrupted) = cells::condition(object, "DisruptionTarget") {
        return disrupted.text("reason").into();
    }
    match cells::condition(object, "PodGroupScheduled").map(|condition| condition.text("status")) {
        Some("True") => "Scheduled",
        Some(_) => "Unschedulable",
        None => "Pending",
    }
    .into()
}
