//! Deployment: replaces a set of equal pods step by step.

use super::ready;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::{CONTAINERS, IMAGES, selector_text};
use crate::resources::check::{At, at, immutable};
use crate::resources::defaults::set_if_empty;
use crate::resources::numbers::{self, amount_or_percent, check_at_most_100_percent, check_int_or_percent, go_struct};
use crate::resources::podspec::{self, template};
use crate::resources::{Column, ResourceDef, Rules, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["deploy"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    columns: &[
        Column::NAME,
        Column::with("Ready", ready),
        Column::number("Up-to-date", "status.updatedReplicas").of("string"),
        Column::number("Available", "status.availableReplicas").of("string"),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        Column::with("Selector", |o| selector_text(o.at("spec.selector")).into()).wide(),
    ],
    rules: &Deployment,
    ..ResourceDef::namespaced(
        "apps",
        "Deployment",
        "deployments",
        "deployment",
        &[Version::on("v1", "io.k8s.api.apps.v1.Deployment")],
    )
};

pub struct Deployment;

impl Rules for Deployment {
    fn default(&self, new: &mut Tree) {
        template::default(new, "spec.template");
        new.set_default("spec.replicas", 1);
        set_if_empty(new, "spec.strategy.type", "RollingUpdate");
        if new.text("spec.strategy.type") == "RollingUpdate" {
            new.set_default("spec.strategy.rollingUpdate.maxUnavailable", "25%");
            new.set_default("spec.strategy.rollingUpdate.maxSurge", "25%");
        }
        new.set_default("spec.revisionHistoryLimit", 10);
        new.set_default("spec.progressDeadlineSeconds", 600);
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        spec.child("replicas").nonnegative(errors);
        super::check_replicas(&spec, "deployment", errors);
        check_strategy(&spec.child("strategy"), errors);
        spec.child("minReadySeconds").nonnegative(errors);
        spec.child("revisionHistoryLimit").nonnegative(errors);
        let deadline = spec.child("progressDeadlineSeconds");
        deadline.nonnegative(errors);
        if deadline.int().is_some_and(|seconds| seconds <= new.int("spec.minReadySeconds").unwrap_or(0)) {
            deadline.invalid(errors, "must be greater than minReadySeconds");
        }
        if let Some(old) = old {
            immutable(errors, new, old, "spec.selector");
        }
    }

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        let status = At::root(new).child("status");
        const COUNTS: &[&str] = &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ];
        numbers::check_counts(&status, COUNTS, errors);
        for part in ["updatedReplicas", "readyReplicas", "availableReplicas"] {
            numbers::check_part(&status, part, "replicas", "status.replicas", errors);
        }
        numbers::check_part(&status, "availableReplicas", "readyReplicas", "readyReplicas", errors);
        numbers::check_collisions(&status, old, errors);
    }

    fn prepare_status(&self, new: &mut Tree, old: &Tree) {
        match old.at("metadata.labels") {
            Some(labels) => drop(new.set("metadata.labels", labels.clone())),
            None => drop(new.unset("metadata.labels")),
        }
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let template = At::root(new).child("spec.template");
        podspec::warnings::of_spec(&template.child("spec"), at(new, "spec.template.metadata"))
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn bumps_generation(&self, new: &Tree, old: &Tree) -> bool {
        at(new, "spec") != at(old, "spec") || at(new, "metadata.annotations") != at(old, "metadata.annotations")
    }
}

fn check_strategy(strategy: &At, errors: &mut FieldErrors) {
    let rolling = strategy.child("rollingUpdate");
    match strategy.text("type") {
        "Recreate" if rolling.exists() => {
            rolling.forbidden(errors, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => (),
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
            check_int_or_percent(&unavailable, errors);
            check_int_or_percent(&surge, errors);
            if amount_or_percent(unavailable.value) == 0 && amount_or_percent(surge.value) == 0 {
                unavailable.invalid(errors, "may not be 0 when `maxSurge` is 0");
            }
            check_at_most_100_percent(&unavailable, errors);
        }
        _ => errors.not_supported_shown(
            &*strategy.path,
            &go_struct(strategy.value, &["type", "rollingUpdate"]),
            &["Recreate", "RollingUpdate"],
        ),
    }
}
