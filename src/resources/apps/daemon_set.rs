//! DaemonSet: one pod on every fitting node.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::cells::{CONTAINERS, IMAGES, SELECTOR, labels};
use crate::resources::check::{At, at, immutable};
use crate::resources::defaults::set_if_empty;
use crate::resources::labels;
use crate::resources::numbers::{self, amount_or_percent, check_at_most_100_percent, check_int_or_percent, go_struct};
use crate::resources::podspec::{self, template};
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ds"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::number("Desired", "status.desiredNumberScheduled"),
        Column::number("Current", "status.currentNumberScheduled"),
        Column::number("Ready", "status.numberReady"),
        Column::number("Up-to-date", "status.updatedNumberScheduled"),
        Column::number("Available", "status.numberAvailable"),
        Column::with("Node Selector", |o| labels(o.at("spec.template.spec.nodeSelector")).into()),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    rules: &DaemonSet,
    ..ResourceDef::namespaced(
        "apps",
        "DaemonSet",
        "daemonsets",
        "daemonset",
        &[Version::on("v1", "io.k8s.api.apps.v1.DaemonSet")],
    )
};

pub struct DaemonSet;

impl Rules for DaemonSet {
    fn default(&self, new: &mut Tree) {
        if at(new, "metadata.annotations").get(GENERATION).is_none() {
            set_template_generation(new, 0);
        }
        template::default(new, "spec.template");
        set_if_empty(new, "spec.updateStrategy.type", "RollingUpdate");
        if new.text("spec.updateStrategy.type") == "RollingUpdate" {
            new.set_default("spec.updateStrategy.rollingUpdate.maxUnavailable", 1);
            new.set_default("spec.updateStrategy.rollingUpdate.maxSurge", 0);
        }
        new.set_default("spec.revisionHistoryLimit", 10);
    }

    fn prepare_create(&self, new: &mut Tree) {
        set_template_generation(new, 1);
    }

    fn prepare_update(&self, new: &mut Tree, old: &Tree) {
        let changed = at(new, "spec.template") != at(old, "spec.template");
        set_template_generation(new, template_generation(old) + i64::from(changed));
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            immutable(errors, new, old, "spec.selector");
        }
        let spec = At::root(new).child("spec");
        let (selector, pods) = (spec.child("selector"), spec.child("template"));
        let before = errors.list.len();
        labels::check_selector(&selector, errors);
        if errors.list.len() == before {
            template::check_selected(&pods, &selector, errors);
        }
        if selector.exists() && labels::is_empty_selector(selector.value) {
            errors.invalid(&*selector.path, json!({}), "empty selector is invalid for daemonset");
        }
        template::check(&pods, errors);
        template::check_long_running(&pods, "DaemonSet", errors);
        spec.child("minReadySeconds").nonnegative(errors);
        check_strategy(&spec.child("updateStrategy"), errors);
        spec.child("revisionHistoryLimit").nonnegative(errors);
    }

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        let status = At::root(new).child("status");
        const COUNTS: &[&str] = &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        numbers::check_counts(&status, COUNTS, errors);
        numbers::check_collisions(&status, old, errors);
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let template = At::root(new).child("spec.template");
        podspec::warnings::of_spec(&template.child("spec"), at(new, "spec.template.metadata"))
    }

    fn has_generation(&self) -> bool {
        true
    }
}

const GENERATION: &str = "deprecated.daemonset.template.generation";

/// The generation of the template, which the current version keeps in an annotation.
fn template_generation(object: &Tree) -> i64 {
    let annotation = at(object, "metadata.annotations").get(GENERATION).and_then(Tree::as_str);
    annotation.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(object: &mut Tree, generation: i64) {
    object.set_default("metadata.annotations", json!({}));
    if let Some(map) = object.at_mut("metadata.annotations").and_then(Tree::as_object_mut) {
        map.insert(GENERATION.into(), generation.to_string().into());
    }
}

fn check_strategy(strategy: &At, errors: &mut FieldErrors) {
    let rolling = strategy.child("rollingUpdate");
    match strategy.text("type") {
        "OnDelete" => (),
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
            check_int_or_percent(&unavailable, errors);
            check_int_or_percent(&surge, errors);
            check_at_most_100_percent(&unavailable, errors);
            check_at_most_100_percent(&surge, errors);
            match (amount_or_percent(unavailable.value) != 0, amount_or_percent(surge.value) != 0) {
                (true, true) => surge.invalid(errors, "may not be set when maxUnavailable is non-zero"),
                (false, false) => unavailable.required(errors, "cannot be 0 when maxSurge is 0"),
                _ => (),
            }
        }
        _ => errors.not_supported_shown(
            &*strategy.path,
            &go_struct(strategy.value, &["type", "rollingUpdate"]),
            &["RollingUpdate", "OnDelete"],
        ),
    }
}
