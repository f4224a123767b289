//! DeviceTaintRule: taints devices that match.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
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
