//! PersistentVolume: a piece of storage in the cluster.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pv"],
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "",
        "PersistentVolume",
        "persistentvolumes",
        "persistentvolume",
        &[Version::on("v1", "io.k8s.api.core.v1.PersistentVolume")],
    )
};
