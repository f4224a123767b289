//! IPAddress: an address in use by a service.

use crate::resources::{ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ip"],
    ..ResourceDef::cluster(
        "networking.k8s.io",
        "IPAddress",
        "ipaddresses",
        "ipaddress",
        &[
            Version::on("v1", "io.k8s.api.networking.v1.IPAddress"),
            Version::off("v1beta1", "io.k8s.api.networking.v1beta1.IPAddress"),
        ],
    )
};
