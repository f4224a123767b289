//! PodTemplate: a template of pods, stored by itself.

use crate::object::tree::TreePath;
use crate::resources::cells::{container_list, labels};
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::with("Containers", |o| container_list(o, "template.spec.containers", "name")),
        Column::with("Images", |o| container_list(o, "template.spec.containers", "image")),
        Column::with("Pod Labels", |o| labels(o.at("template.metadata.labels")).into()),
    ],
    ..ResourceDef::namespaced(
        "",
        "PodTemplate",
        "podtemplates",
        "podtemplate",
        &[Version::on("v1", "io.k8s.api.core.v1.PodTemplate")],
    )
};
