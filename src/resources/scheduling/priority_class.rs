//! PriorityClass: a name for how important pods are.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pc"],
    columns: &[
        Column::NAME,
        Column::number("Value", "value"),
        Column::with("Global-Default", |o| o.flag("globalDefault").unwrap_or(false).into()).of("boolean"),
        Column::AGE,
        Column::path("PreemptionPolicy", "preemptionPolicy"),
    ],
    rules: &PriorityClass,
    ..ResourceDef::cluster(
        "scheduling.k8s.io",
        "PriorityClass",
        "priorityclasses",
        "priorityclass",
        &[Version::on("v1", "io.k8s.api.scheduling.v1.PriorityClass")],
    )
};

pub struct PriorityClass;

impl Rules for PriorityClass {
    fn default(&self, new: &mut Tree) {
        new.set_default("preemptionPolicy", "PreemptLowerPriority");
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let value = new.int("value").unwrap_or(0);
        if let Some(old) = old {
            if value != old.int("value").unwrap_or(0) {
                errors.forbidden("value", "may not be changed in an update.");
            }
            return immutable(errors, new, old, "preemptionPolicy");
        }
        let name = new.text("metadata.name");
        if name.starts_with("system-") {
            check_system(name, value, new.flag("globalDefault") == Some(true), errors);
        } else if value > USER_PRIORITY_MAX {
            let detail = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
            errors.forbidden("value", detail);
        }
        let policy = At::root(new).child("preemptionPolicy");
        if policy.exists() {
            policy.one_of(errors, &["PreemptLowerPriority", "Never"]);
        }
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn bumps_generation(&self, _new: &Tree, _old: &Tree) -> bool {
        false
    }
}

const USER_PRIORITY_MAX: i64 = 1_000_000_000;
/// Names that only Kubernetes itself uses, with their values.
const SYSTEM: &[(&str, i64)] =
    &[("system-node-critical", 2 * USER_PRIORITY_MAX + 1000), ("system-cluster-critical", 2 * USER_PRIORITY_MAX)];

fn check_system(name: &str, value: i64, global_default: bool, errors: &mut FieldErrors) {
    let complaint = match SYSTEM.iter().find(|(known, _)| *known == name) {
        None => format!("{name} is not a known system priority class"),
        Some((_, wanted)) if value != *wanted => format!("value of {name} PriorityClass must be {wanted}"),
        Some(_) if global_default => format!("globalDefault of {name} PriorityClass must be false"),
        Some(_) => return,
    };
    let detail =
        format!("priority class names with 'system-' prefix are reserved for system use only. error: {complaint}");
    errors.forbidden("metadata.name", detail);
}
