//! DeviceTaintRule: taints devices that match.

use crate::object::time::Timestamp;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::age;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path("Key", "spec.taint.key"),
        Column::path("Value", "spec.taint.value"),
        Column::path("Effect", "spec.taint.effect"),
        Column::with_now("TimeAdded", added),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "resource.k8s.io",
        "DeviceTaintRule",
        "devicetaintrules",
        "devicetaintrule",
        &[
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.DeviceTaintRule"),
            Version::off("v1alpha3", "io.k8s.api.resource.v1alpha3.DeviceTaintRule"),
        ],
    )
};

fn added(object: &Tree, now: Timestamp) -> Tree {
    if object.has("spec.taint.timeAdded") { age(object, "spec.taint.timeAdded", now).into() } else { "".into() }
}
