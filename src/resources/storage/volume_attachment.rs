//! VolumeAttachment: a volume that is, or is to be, attached to a node.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::names;
use crate::resources::podspec::volumes::check_driver_name;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column { format: "name", ..Column::path("Attacher", "spec.attacher") },
        Column::path("PV", "spec.source.persistentVolumeName"),
        Column::path("Node", "spec.nodeName"),
        Column::with("Attached", |o| o.flag("status.attached").unwrap_or(false).into()).of("boolean"),
        Column::AGE,
    ],
    rules: &VolumeAttachment,
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "VolumeAttachment",
        "volumeattachments",
        "volumeattachment",
        &[Version::on("v1", "io.k8s.api.storage.v1.VolumeAttachment")],
    )
};

pub struct VolumeAttachment;

impl Rules for VolumeAttachment {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        check_driver_name(&spec.child("attacher"), errors);
        let (source, volume) = (spec.child("source"), spec.child("source.persistentVolumeName"));
        match (source.has("inlineVolumeSpec"), volume.exists()) {
            (false, false) => {
                source.required(errors, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (true, true) => {
                source.forbidden(errors, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (false, true) if volume.is_empty() => {
                volume.required(errors, "must specify non empty persistentVolumeName");
            }
            _ => (),
        }
        spec.child("nodeName").format(errors, names::is_dns1123_subdomain(spec.text("nodeName")));
        if volume.exists() {
            volume.format(errors, names::is_dns1123_subdomain(volume.str()));
        }
        if let Some(old) = old {
            immutable(errors, new, old, "spec");
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}
