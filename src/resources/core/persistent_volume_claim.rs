//! PersistentVolumeClaim: a request for storage by a user of a namespace.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pvc"],
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        &[Version::on("v1", "io.k8s.api.core.v1.PersistentVolumeClaim")],
    )
};
