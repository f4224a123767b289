//! ConfigMap: configuration data for pods to read.

use crate::object::tree::{Tree, TreePath};
use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["cm"],
    columns: &[Column::NAME, Column::with("Data", data_count), Column::AGE],
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
