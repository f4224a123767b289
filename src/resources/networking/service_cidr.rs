//! ServiceCIDR: a range that service addresses are taken from.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "networking.k8s.io",
        "ServiceCIDR",
        "servicecidrs",
        "servicecidr",
        &[
            Version::on("v1", "io.k8s.api.networking.v1.ServiceCIDR"),
            Version::off("v1beta1", "io.k8s.api.networking.v1beta1.ServiceCIDR"),
        ],
    )
};
