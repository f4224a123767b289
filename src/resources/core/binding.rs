//! Binding: ties a pod to a node; written through, never stored.

use crate::resources::{ResourceDef, Verbs, Version};

pub static DEF: ResourceDef = ResourceDef {
    verbs: Verbs::CreateOnly,
    ..ResourceDef::namespaced("", "Binding", "bindings", "binding", &[Version::on("v1", "io.k8s.api.core.v1.Binding")])
};
