//! HorizontalPodAutoscaler: scales a workload by what its pods use.

use super::targets::targets;
use super::{hpa_checks, hpa_v1};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::cells::kind_and_name;
use crate::resources::check::At;
use crate::resources::numbers::check_counts;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::with("Reference", |o| kind_and_name(o.at("spec.scaleTargetRef")).into()),
        Column::with("Targets", |o| targets(o).into()),
        Column::path_or("MinPods", "spec.minReplicas", "<unset>"),
        Column::number("MaxPods", "spec.maxReplicas").of("string"),
        Column::number("Replicas", "status.currentReplicas").of("string"),
        Column::AGE,
    ],
    rules: &HorizontalPodAutoscaler,
    ..ResourceDef::namespaced(
        "autoscaling",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "horizontalpodautoscaler",
        &[
            Version::on("v2", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"),
            Version::on("v1", "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler"),
        ],
    )
};

pub struct HorizontalPodAutoscaler;

impl Rules for HorizontalPodAutoscaler {
    fn default(&self, new: &mut Tree) {
        new.set_default("spec.minReplicas", 1);
        if new.items("spec.metrics").is_empty() {
            new.set("spec.metrics", json!([hpa_v1::cpu(hpa_v1::USE_PERCENT)]));
        }
        if new.has("spec.behavior") {
            hpa_checks::default_behavior(new);
        }
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        hpa_checks::check(&At::root(new).child("spec"), errors);
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        check_counts(&At::root(new).child("status"), &["currentReplicas", "desiredReplicas"], errors);
    }

    fn convert(&self, tree: Tree, from: &str, to: &str) -> Tree {
        match (from, to) {
            ("autoscaling/v1", _) => hpa_v1::from_v1(tree),
            (_, "autoscaling/v1") => hpa_v1::to_v1(tree),
            _ => tree,
        }
    }
}
