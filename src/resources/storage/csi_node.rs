//! CSINode: storage drivers on a node.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::names;
use crate::resources::podspec::volumes::check_driver_name;
use crate::resources::{Column, ResourceDef, Rules, Version};
use std::collections::BTreeSet;

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column { kind: "integer", ..Column::count("Drivers", "spec.drivers") }, Column::AGE],
    rules: &CSINode,
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "CSINode",
        "csinodes",
        "csinode",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSINode")],
    )
};

pub struct CSINode;

impl Rules for CSINode {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let drivers = At::root(new).child("spec.drivers");
        let mut seen = BTreeSet::new();
        for driver in drivers.items() {
            check_driver(&driver, errors);
            if !seen.insert(driver.text("name")) {
                driver.child("name").duplicate(errors);
            }
        }
        let core = |driver: &Tree| {
            let mut core = driver.clone();
            core.unset("allocatable");
            core
        };
        for before in old.map_or(&[][..], |old| old.items("spec.drivers")) {
            for driver in drivers.items().filter(|driver| driver.text("name") == before.text("name")) {
                if core(driver.value) != core(before) {
                    errors.invalid(&*drivers.path, driver.value.clone(), "field is immutable");
                }
            }
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_driver(driver: &At, errors: &mut FieldErrors) {
    check_driver_name(&driver.child("name"), errors);
    let node = driver.child("nodeID");
    if node.is_empty() {
        node.required(errors, "");
    }
    if node.len() > 256 {
        node.invalid(errors, "must be 256 characters or less");
    }
    driver.child("allocatable.count").nonnegative(errors);
    let mut seen = BTreeSet::new();
    for key in driver.child("topologyKeys").items() {
        if key.is_empty() {
            driver.required(errors, "");
        }
        if !seen.insert(key.str()) {
            errors.duplicate(&*driver.path, key.str());
        }
        for complaint in names::is_qualified_name(key.str()) {
            errors.invalid(&*driver.path, key.str(), complaint);
        }
    }
}
