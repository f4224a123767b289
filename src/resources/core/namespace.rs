//! Namespace: a room for names, and what is deleted as one.

use crate::resources::{Column, ResourceDef, Special, Subresource, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ns"],
    verbs: Verbs::NoDeleteCollection,
    subresources: &[Special::own("finalize", &["update"]), Subresource::Status],
    selectable: &["status.phase"],
    columns: &[Column::NAME, Column::path("Status", "status.phase"), Column::AGE],
    ..ResourceDef::cluster(
        "",
        "Namespace",
        "namespaces",
        "namespace",
        &[Version::on("v1", "io.k8s.api.core.v1.Namespace")],
    )
};
