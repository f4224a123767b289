//! Volumes and claims to them.

use super::common::{Amounts, Condition, Named, Raw, Reference, Resources};
use super::placement::NodeSelector;
use super::selector::LabelSelector;

views! {
    PersistentVolume = "persistentvolumes",
    PersistentVolumeClaim = "persistentvolumeclaims",
    StorageClass = "storageclasses.storage.k8s.io",
    VolumeAttributesClass = "volumeattributesclasses.storage.k8s.io",
    CsiNode = "csinodes.storage.k8s.io",
    VolumeAttachment = "volumeattachments.storage.k8s.io",
}

fields! {
    PersistentVolume {
        spec: PersistentVolumeSpec,
        status: PersistentVolumeStatus,
    }

    PersistentVolumeSpec {
        capacity: Amounts,
        access_modes: Vec<String>,
        claim_ref: Option<Reference>,
        persistent_volume_reclaim_policy: String,
        storage_class_name: String,
        volume_attributes_class_name: Option<String>,
        volume_mode: Option<String>,
        node_affinity: Option<VolumeNodeAffinity>,
        csi: Option<Raw>,
        host_path: Option<Raw>,
        local: Option<Raw>,
    }

    VolumeNodeAffinity {
        required: Option<NodeSelector>,
    }

    PersistentVolumeStatus {
        phase: String,
        message: String,
        reason: String,
    }

    PersistentVolumeClaim {
        spec: PersistentVolumeClaimSpec,
        status: PersistentVolumeClaimStatus,
    }

    PersistentVolumeClaimSpec {
        access_modes: Vec<String>,
        resources: Resources,
        selector: Option<LabelSelector>,
        storage_class_name: Option<String>,
        volume_attributes_class_name: Option<String>,
        volume_name: String,
        volume_mode: Option<String>,
    }

    PersistentVolumeClaimStatus {
        phase: String,
        capacity: Amounts,
        access_modes: Vec<String>,
        conditions: Vec<Condition>,
        current_volume_attributes_class_name: Option<String>,
        modify_volume_status: Option<ModifyVolumeStatus>,
    }

    ModifyVolumeStatus {
        #[serde(rename = "targetVolumeAttributesClassName")]
        target: Option<String>,
    }

    VolumeAttributesClass {
        driver_name: String,
    }

    StorageClass {
        provisioner: String,
        reclaim_policy: Option<String>,
        volume_binding_mode: Option<String>,
        allow_volume_expansion: Option<bool>,
    }

    CsiNode {
        spec: CsiNodeSpec,
    }

    CsiNodeSpec {
        drivers: Vec<CsiNodeDriver>,
    }

    CsiNodeDriver {
        name: String,
        allocatable: Option<VolumeCount>,
    }

    VolumeCount {
        count: Option<i64>,
    }

    VolumeAttachment {
        spec: VolumeAttachmentSpec,
    }

    VolumeAttachmentSpec {
        attacher: String,
        node_name: String,
        source: Named,
    }
}
