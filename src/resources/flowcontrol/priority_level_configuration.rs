//! PriorityLevelConfiguration: how many requests of a level run at once.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path("Type", "spec.type"),
        Column::with("NominalConcurrencyShares", |o| or_none(o, "spec.limited.nominalConcurrencyShares")),
        Column::with("Queues", |o| or_none(o, "spec.limited.limitResponse.queuing.queues")),
        Column::with("HandSize", |o| or_none(o, "spec.limited.limitResponse.queuing.handSize")),
        Column::with("QueueLengthLimit", |o| or_none(o, "spec.limited.limitResponse.queuing.queueLengthLimit")),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        "prioritylevelconfiguration",
        &[Version::on("v1", "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration")],
    )
};

fn or_none(object: &Tree, path: &str) -> Tree {
    object.at(path).cloned().unwrap_or_else(|| "<none>".into())
}
