//! Event: what happened to an object, and why.

use super::event_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::{ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ev"],
    selectable: &[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ],
    columns: super::event_columns::COLUMNS,
    rules: &Event,
    ..ResourceDef::namespaced("", "Event", "events", "event", &[Version::on("v1", "io.k8s.api.core.v1.Event")])
};

pub struct Event;

impl Rules for Event {
    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        event_checks::check(new, true, errors);
    }

    fn selectable_value(&self, at: &dyn Fn(&str) -> Option<Tree>, field: &str) -> Option<String> {
        // Who reports an event may stand in an old or a new field.
        let text = |path: &str| at(path).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        (field == "source").then(|| match text("source.component") {
            old if old.is_empty() => text("reportingComponent"),
            old => old,
        })
    }

    fn create_on_update(&self) -> bool {
        true
    }
}
