//! ReplicaSet: keeps a number of equal pods alive.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::{CONTAINERS, IMAGES, SELECTOR};
use crate::resources::check::{At, at, immutable};
use crate::resources::podspec::{self, template};
use crate::resources::{Column, ResourceDef, Rules, ScalePaths, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["rs"],
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
        SELECTOR,
    ],
    rules: &ReplicaSet,
    ..ResourceDef::namespaced(
        "apps",
        "ReplicaSet",
        "replicasets",
        "replicaset",
        &[Version::on("v1", "io.k8s.api.apps.v1.ReplicaSet")],
    )
};

pub struct ReplicaSet;

impl Rules for ReplicaSet {
    fn default(&self, new: &mut Tree) {
        template::default(new, "spec.template");
        new.set_default("spec.replicas", 1);
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        spec.child("replicas").nonnegative(errors);
        spec.child("minReadySeconds").nonnegative(errors);
        super::check_replicas(&spec, "deployment", errors);
        if let Some(old) = old {
            immutable(errors, new, old, "spec.selector");
        }
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        super::check_replica_status(&At::root(new).child("status"), errors);
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let template = At::root(new).child("spec.template");
        podspec::warnings::of_spec(&template.child("spec"), at(new, "spec.template.metadata"))
    }

    fn has_generation(&self) -> bool {
        true
    }
}
