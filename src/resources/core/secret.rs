//! Secret: data that only some may read.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    selectable: &["type"],
    ..ResourceDef::namespaced("", "Secret", "secrets", "secret", &[Version::on("v1", "io.k8s.api.core.v1.Secret")])
};
