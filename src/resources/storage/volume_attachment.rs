//! VolumeAttachment: a volume that is, or is to be, attached to a node.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "VolumeAttachment",
        "volumeattachments",
        "volumeattachment",
        &[Version::on("v1", "io.k8s.api.storage.v1.VolumeAttachment")],
    )
};
