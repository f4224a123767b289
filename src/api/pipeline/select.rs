//! Which objects of a collection a list or watch is about.

use std::sync::Arc;

use crate::api::selector::{FieldTerm, LabelQuery, field_terms};
use crate::object::pick::pick;
use crate::object::tree::Tree;
use crate::object::{ObjectRef, Status};
use crate::resources::Resource;
use crate::store::KeyRange;

use super::act::Act;
use super::read::range_of;

#[derive(Clone)]
pub struct Selection {
    resource: Arc<Resource>,
    labels: LabelQuery,
    fields: Vec<FieldTerm>,
}

impl Selection {
    /// Reads the selectors of a call; fields that nobody may select by are refused.
    pub fn of(act: &Act) -> Result<Self, Status> {
        let options = &act.call.options;
        let labels = LabelQuery::parse(&options.label_selector)?;
        let fields = field_terms(&options.field_selector)?;
        let version = act.version();
        for term in fields.iter().filter(|term| !version.is_selectable(&term.field)) {
            return Err(Status::bad_request(if version.selectable.is_empty() && !act.resource.is_custom {
                format!(
                    "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                    term.field
                )
            } else {
                format!("field label not supported: {}", term.field)
            }));
        }
        let mut selection = Self { resource: act.resource.clone(), labels, fields };
        if act.resource.is_custom {
            // Their other fields are looked at in the version of the request, by the view.
            selection.fields.retain(|term| is_of_key(&term.field));
        }
        Ok(selection)
    }

    /// The terms about a custom resource's own fields.
    pub fn custom_fields(act: &Act) -> Vec<FieldTerm> {
        let mut fields = field_terms(&act.call.options.field_selector).unwrap_or_default();
        fields.retain(|term| act.resource.is_custom && !is_of_key(&term.field));
        fields
    }

    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &ObjectRef) -> bool {
        (self.labels.is_everything() || self.labels.matches(&object.meta().labels)) && self.fields_match(object)
    }

    /// The keys that can match: one object where its name is asked for.
    pub fn range(&self, act: &Act) -> KeyRange {
        let exactly = |field: &str| {
            let term = self.fields.iter().find(|term| term.field == field && !term.negated);
            term.map(|term| term.value.as_str()).filter(|value| !value.is_empty() && !value.contains('/'))
        };
        let namespace = match act.namespace() {
            "" if act.resource.is_namespaced() => exactly("metadata.namespace").unwrap_or_default(),
            namespace => namespace,
        };
        let placed = !namespace.is_empty() || !act.resource.is_namespaced();
        match exactly("metadata.name").filter(|_| placed) {
            Some(name) => KeyRange::key(&crate::object::Key::new(&act.resource.stored_as, namespace, name)),
            None => range_of(act, namespace),
        }
    }

    fn fields_match(&self, object: &ObjectRef) -> bool {
        let at = |path: &str| pick(object.bytes(), path);
        self.fields.iter().all(|term| {
            let equal = match term.field.as_str() {
                "metadata.name" => object.key().name() == term.value,
                "metadata.namespace" => object.key().namespace() == term.value,
                field => field_value(&self.resource, &at, field) == term.value,
            };
            equal != term.negated
        })
    }
}

/// Fields that an object's key tells.
fn is_of_key(field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace")
}

/// A selectable field as text; empty where nothing is.
pub fn field_value(resource: &Resource, at: &dyn Fn(&str) -> Option<Tree>, field: &str) -> String {
    if let Some(value) = resource.rules.selectable_value(at, field) {
        return value;
    }
    match at(field) {
        None | Some(Tree::Null) => String::new(),
        Some(Tree::String(text)) => text,
        Some(other) => other.to_string(),
    }
}
