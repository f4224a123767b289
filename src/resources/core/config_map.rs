//! ConfigMap: configuration data for pods to read.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["cm"],
    ..ResourceDef::namespaced(
        "",
        "ConfigMap",
        "configmaps",
        "configmap",
        &[Version::on("v1", "io.k8s.api.core.v1.ConfigMap")],
    )
};
