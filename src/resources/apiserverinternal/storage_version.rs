//! StorageVersion: in which version servers store a resource.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "internal.apiserver.k8s.io",
        "StorageVersion",
        "storageversions",
        "storageversion",
        &[Version::off("v1alpha1", "io.k8s.api.apiserverinternal.v1alpha1.StorageVersion")],
    )
};
