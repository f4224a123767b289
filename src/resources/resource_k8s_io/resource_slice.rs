//! ResourceSlice: devices that a driver offers on a node.

use super::slice_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::{At, immutable};
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    selectable: &["spec.nodeName", "spec.driver"],
    columns: &[
        Column::NAME,
        Column::path("Node", "spec.nodeName"),
        Column::path("Driver", "spec.driver"),
        Column::path("Pool", "spec.pool.name"),
        Column::AGE,
    ],
    rules: &ResourceSlice,
    ..ResourceDef::cluster(
        "resource.k8s.io",
        "ResourceSlice",
        "resourceslices",
        "resourceslice",
        &[
            Version::on("v1", "io.k8s.api.resource.v1.ResourceSlice"),
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.ResourceSlice"),
            Version::off("v1beta1", "io.k8s.api.resource.v1beta1.ResourceSlice"),
        ],
    )
};

pub struct ResourceSlice;

impl Rules for ResourceSlice {
    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        slice_checks::check(&spec, errors);
        if let Some(old) = old {
            for path in ["spec.pool.name", "spec.driver", "spec.nodeName"] {
                immutable(errors, new, old, path);
            }
        }
        slice_checks::check_contents(&spec, errors);
    }
}
