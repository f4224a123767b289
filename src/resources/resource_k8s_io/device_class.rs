//! DeviceClass: a kind of device that can be claimed.

use super::claim_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::AGE],
    rules: &DeviceClass,
    ..ResourceDef::cluster(
        "resource.k8s.io",
        "DeviceClass",
        "deviceclasses",
        "deviceclass",
        &[
            Version::on("v1", "io.k8s.api.resource.v1.DeviceClass"),
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.DeviceClass"),
            Version::off("v1beta1", "io.k8s.api.resource.v1beta1.DeviceClass"),
        ],
    )
};

pub struct DeviceClass;

impl Rules for DeviceClass {
    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        claim_checks::check_selectors(&At::root(new).child("spec.selectors"), errors);
    }
}
