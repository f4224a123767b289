//! Event: what happened to an object, and why.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::core::event_checks;
use crate::resources::def::StoredAs;
use crate::resources::{ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ev"],
    stored_as: Some(StoredAs { group: "", resource: "events", version: "v1" }),
    selectable: &[
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reason",
        "reportingController",
        "type",
    ],
    columns: crate::resources::core::event_columns::COLUMNS,
    rules: &Event,
    ..ResourceDef::namespaced(
        "events.k8s.io",
        "Event",
        "events",
        "event",
        &[Version::on("v1", "io.k8s.api.events.v1.Event")],
    )
};

pub struct Event;

impl Rules for Event {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        event_checks::check(new, false, errors);
        match old {
            None => event_checks::check_create(new, errors),
            Some(old) => event_checks::check_update(new, old, errors),
        }
    }

    fn selectable_value(&self, at: &dyn Fn(&str) -> Option<Tree>, field: &str) -> Option<String> {
        let stored = RENAMED.iter().find_map(|(core, own)| {
            let rest = field.strip_prefix(own)?;
            (rest.is_empty() || rest.starts_with('.')).then(|| format!("{core}{rest}"))
        });
        stored.map(|path| at(&path).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default())
    }

    fn convert(&self, mut tree: Tree, _from: &str, to: &str) -> Tree {
        for (core, own) in RENAMED {
            let (from, to) = if to == "v1" { (own, core) } else { (core, own) };
            if let Some(value) = tree.unset(from) {
                tree.set(to, value);
            }
        }
        // What the core group always writes, this one leaves out where it is empty.
        if to != "v1" {
            for field in ["reportingController", "reportingInstance"] {
                if tree.text(field).is_empty() {
                    tree.unset(field);
                }
            }
        }
        tree
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

/// Fields by their name in the core group, in which events are stored, and in this one.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];
