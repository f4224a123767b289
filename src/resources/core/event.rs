//! Event: what happened to an object, and why.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ev"],
    columns: super::event_columns::COLUMNS,
    ..ResourceDef::namespaced("", "Event", "events", "event", &[Version::on("v1", "io.k8s.api.core.v1.Event")])
};
