//! ConfigMap: configuration data for pods to read.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, at};
use crate::resources::names;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["cm"],
    columns: &[Column::NAME, Column::with("Data", data_count), Column::AGE],
    rules: &ConfigMap,
    ..ResourceDef::namespaced(
        "",
        "ConfigMap",
        "configmaps",
        "configmap",
        &[Version::on("v1", "io.k8s.api.core.v1.ConfigMap")],
    )
};

fn data_count(object: &Tree) -> Tree {
    let count = |path| object.map(path).map_or(0, |map| map.len());
    (count("data") + count("binaryData")).into()
}

pub struct ConfigMap;

impl Rules for ConfigMap {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            check_immutable(new, old, &["data", "binaryData"], errors);
        }
        let (data, binary) = (At::root(new).child("data"), At::root(new).child("binaryData"));
        let mut bytes = 0;
        for (key, value) in data.entries() {
            check_key(key, &value, errors);
            if binary.key(key).exists() {
                errors.invalid(&*value.path, key, "duplicate of key present in binaryData");
            }
            bytes += value.len();
        }
        for (key, value) in binary.entries() {
            check_key(key, &value, errors);
            bytes += decoded_len(value.str());
        }
        if bytes > DATA_BYTES_MAX {
            errors.too_long("", DATA_BYTES_MAX);
        }
    }
}

/// All values of a ConfigMap or Secret together.
pub const DATA_BYTES_MAX: usize = 1 << 20;

pub fn check_key(key: &str, value: &At, errors: &mut FieldErrors) {
    for complaint in names::is_config_map_key(key) {
        errors.invalid(&*value.path, key, complaint);
    }
}

/// How many bytes base64 stands for.
pub fn decoded_len(base64: &str) -> usize {
    base64.len() / 4 * 3 - base64.bytes().rev().take_while(|c| *c == b'=').count().min(base64.len() / 4 * 3)
}

/// Nothing changes in an object that has once been made immutable.
pub fn check_immutable(new: &Tree, old: &Tree, fields: &[&str], errors: &mut FieldErrors) {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    if old.flag("immutable") != Some(true) {
        return;
    }
    if new.flag("immutable") != Some(true) {
        errors.forbidden("immutable", DETAIL);
    }
    for field in fields.iter().filter(|field| at(new, field) != at(old, field)) {
        errors.forbidden(*field, DETAIL);
    }
}
