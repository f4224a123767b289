//! VolumeAttachment: a volume that is, or is to be, attached to a node.

use crate::object::tree::TreePath;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path("Attacher", "spec.attacher"),
        Column::path("PV", "spec.source.persistentVolumeName"),
        Column::path("Node", "spec.nodeName"),
        Column::with("Attached", |o| o.flag("status.attached").unwrap_or(false).into()).of("boolean"),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "VolumeAttachment",
        "volumeattachments",
        "volumeattachment",
        &[Version::on("v1", "io.k8s.api.storage.v1.VolumeAttachment")],
    )
};
