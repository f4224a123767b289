//! ControllerRevision: a past template of a DaemonSet or StatefulSet.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    ..ResourceDef::namespaced(
        "apps",
        "ControllerRevision",
        "controllerrevisions",
        "controllerrevision",
        &[Version::on("v1", "io.k8s.api.apps.v1.ControllerRevision")],
    )
};
