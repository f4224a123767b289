//! ResourcePoolStatusRequest: asks how full pools of devices are.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "resource.k8s.io",
        "ResourcePoolStatusRequest",
        "resourcepoolstatusrequests",
        "resourcepoolstatusrequest",
        &[Version::off("v1alpha3", "io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequest")],
    )
};
