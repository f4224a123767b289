//! Event: what happened to an object, and why.

use crate::resources::def::StoredAs;
use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ev"],
    stored_as: Some(StoredAs { group: "", resource: "events", version: "v1" }),
    columns: crate::resources::core::event_columns::COLUMNS,
    ..ResourceDef::namespaced(
        "events.k8s.io",
        "Event",
        "events",
        "event",
        &[Version::on("v1", "io.k8s.api.events.v1.Event")],
    )
};
