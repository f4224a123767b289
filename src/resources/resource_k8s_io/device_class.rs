//! DeviceClass: a kind of device that can be claimed.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::AGE],
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
