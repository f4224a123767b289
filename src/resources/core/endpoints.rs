//! Endpoints: addresses behind a service, in one object.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ep"],
    ..ResourceDef::namespaced(
        "",
        "Endpoints",
        "endpoints",
        "endpoints",
        &[Version::on("v1", "io.k8s.api.core.v1.Endpoints")],
    )
};
