//! Resources of flowcontrol.apiserver.k8s.io.

pub mod flow_schema;
pub mod priority_level_configuration;

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::inner;

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

/// Complains if what must not change is not what it has to be.
fn check_fixed(kind: &str, spec: &Tree, fixed: &Tree, what: &str, errors: &mut FieldErrors) {
    let shown = inner::compact(kind, spec);
    if shown != inner::compact(kind, fixed) {
        errors.invalid_shown("spec", &shown, format!("{what} must equal the fixed value"));
    }
}
