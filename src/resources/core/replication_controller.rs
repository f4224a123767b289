//! ReplicationController: the first kind of ReplicaSet.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::apps::check_replica_status;
use crate::resources::cells::{CONTAINERS, IMAGES, labels};
use crate::resources::check::{At, at};
use crate::resources::podspec::{self, template};
use crate::resources::{Column, ResourceDef, Rules, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["rc"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    selectable: &["status.replicas"],
    columns: &[
        Column::NAME,
        Column::number("Desired", "spec.replicas"),
        Column::number("Current", "status.replicas"),
        Column::number("Ready", "status.readyReplicas"),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        Column::with("Selector", |o| labels(o.at("spec.selector")).into()).wide(),
    ],
    rules: &ReplicationController,
    ..ResourceDef::namespaced(
        "",
        "ReplicationController",
        "replicationcontrollers",
        "replicationcontroller",
        &[Version::on("v1", "io.k8s.api.core.v1.ReplicationController")],
    )
};

pub struct ReplicationController;

impl Rules for ReplicationController {
    fn default(&self, new: &mut Tree) {
        new.set_default("spec.replicas", 1);
        if !new.has("spec.template") {
            return;
        }
        template::default(new, "spec.template");
        let labels = at(new, "spec.template.metadata.labels").clone();
        if labels.is_object() {
            for path in ["spec.selector", "metadata.labels"] {
                if new.map(path).is_none_or(|map| map.is_empty()) {
                    new.set(path, labels.clone());
                }
            }
        }
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        spec.child("minReadySeconds").nonnegative(errors);
        let selector = spec.child("selector");
        if selector.is_empty() {
            selector.required(errors, "");
        }
        spec.child("replicas").nonnegative(errors);
        let pods = spec.child("template");
        if !pods.exists() {
            return pods.required(errors, "");
        }
        if !selector.is_empty() {
            let wanted = json!({"matchLabels": selector.value});
            template::check_selected(&pods, &At::new(&wanted, &*selector.path), errors);
        }
        template::check(&pods, errors);
        template::check_long_running(&pods, "ReplicationController", errors);
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        check_replica_status(&At::root(new).child("status"), errors);
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let template = At::root(new).child("spec.template");
        podspec::warnings::of_spec(&template.child("spec"), at(new, "spec.template.metadata"))
    }

    fn has_generation(&self) -> bool {
        true
    }
}
