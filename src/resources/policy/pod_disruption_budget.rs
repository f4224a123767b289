//! PodDisruptionBudget: how many pods of a set may be taken away on purpose at once.

use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::inner;
use crate::resources::labels;
use crate::resources::numbers::{self, check_at_most_100_percent, check_int_or_percent};
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pdb"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path_or("Min Available", "spec.minAvailable", "N/A"),
        Column::path_or("Max Unavailable", "spec.maxUnavailable", "N/A"),
        Column::number("Allowed Disruptions", "status.disruptionsAllowed"),
        Column::AGE,
    ],
    rules: &PodDisruptionBudget,
    ..ResourceDef::namespaced(
        "policy",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        &[Version::on("v1", "io.k8s.api.policy.v1.PodDisruptionBudget")],
    )
};

pub struct PodDisruptionBudget;

impl Rules for PodDisruptionBudget {
    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        if spec.has("minAvailable") && spec.has("maxUnavailable") {
            let shown = inner::compact("PodDisruptionBudgetSpec", spec.value);
            errors.invalid_shown("spec", &shown, "minAvailable and maxUnavailable cannot be both set");
        }
        for field in ["minAvailable", "maxUnavailable"] {
            check_int_or_percent(&spec.child(field), errors);
            check_at_most_100_percent(&spec.child(field), errors);
        }
        labels::check_selector(&spec.child("selector"), errors);
        let policy = spec.child("unhealthyPodEvictionPolicy");
        if policy.exists() && !matches!(policy.str(), "AlwaysAllow" | "IfHealthyBudget") {
            policy.not_supported(errors, &["AlwaysAllow", "IfHealthyBudget"]);
        }
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        let status = At::root(new).child("status");
        labels::check_conditions(&status.child("conditions"), errors);
        numbers::check_counts(
            &status,
            &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
            errors,
        );
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}
