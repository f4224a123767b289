//! VolumeAttributesClass: attributes of volumes that can be changed later.

use super::check_parameters;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::{At, immutable};
use crate::resources::podspec::volumes::check_driver_name;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["vac"],
    columns: &[Column::NAME, Column::path("DriverName", "driverName"), Column::AGE],
    rules: &VolumeAttributesClass,
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "VolumeAttributesClass",
        "volumeattributesclasses",
        "volumeattributesclass",
        &[
            Version::on("v1", "io.k8s.api.storage.v1.VolumeAttributesClass"),
            Version::off("v1beta1", "io.k8s.api.storage.v1beta1.VolumeAttributesClass"),
        ],
    )
};

pub struct VolumeAttributesClass;

impl Rules for VolumeAttributesClass {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            immutable(errors, new, old, "driverName");
            return immutable(errors, new, old, "parameters");
        }
        check_driver_name(&At::root(new).child("driverName"), errors);
        check_parameters(&At::root(new).child("parameters"), false, errors);
    }
}
