//! VolumeAttributesClass: attributes of volumes that can be changed later.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["vac"],
    columns: &[Column::NAME, Column::path("DriverName", "driverName"), Column::AGE],
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
