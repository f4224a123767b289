//! Resources of flowcontrol.apiserver.k8s.io.

pub mod flow_schema;
pub mod priority_level_configuration;

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::resources::check::At;

fn check_conditions(conditions: &At, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let kind = condition.child("type");
        if !seen.insert(kind.str()) {
            kind.duplicate(errors);
        }
        if kind.is_empty() {
            kind.required(errors, "");
        }
    }
}
