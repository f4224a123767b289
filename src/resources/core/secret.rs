//! Secret: data that only some may read.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    selectable: &["type"],
    columns: &[Column::NAME, Column::path("Type", "type"), Column::count("Data", "data"), Column::AGE],
    ..ResourceDef::namespaced("", "Secret", "secrets", "secret", &[Version::on("v1", "io.k8s.api.core.v1.Secret")])
};
