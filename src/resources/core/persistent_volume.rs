//! PersistentVolume: a piece of storage in the cluster.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at};
use crate::resources::claims::{VOLUME_MODES, check_access_modes, check_class};
use crate::resources::defaults::set_if_empty;
use crate::resources::inner;
use crate::resources::podspec::{affinity, volumes};
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};
use crate::resources::{names, quantities};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["pv"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path_or("Capacity", "spec.capacity.storage", "0"),
        Column::with("Access Modes", |o| access_modes(o, "spec.accessModes").into()),
        Column::path("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        Column::with("Status", phase),
        Column::with("Claim", claim),
        Column::with("StorageClass", |o| class(o).into()),
        Column::path_or("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        Column::path("Reason", "status.reason"),
        Column::AGE,
        Column::path_or("VolumeMode", "spec.volumeMode", "<unset>").wide(),
    ],
    rules: &PersistentVolume,
    ..ResourceDef::cluster(
        "",
        "PersistentVolume",
        "persistentvolumes",
        "persistentvolume",
        &[Version::on("v1", "io.k8s.api.core.v1.PersistentVolume")],
    )
};

/// Access modes in upstream's short forms.
pub fn access_modes(object: &Tree, path: &str) -> String {
    const SHORT: &[(&str, &str)] =
        &[("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| object.items(path).iter().any(|item| item.as_str() == Some(mode));
    SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// The phase, or that it is being deleted.
pub fn phase(object: &Tree) -> Tree {
    if object.has("metadata.deletionTimestamp") { "Terminating" } else { object.text("status.phase") }.into()
}

/// The storage class: an old annotation wins over the field.
pub fn class(object: &Tree) -> String {
    let annotation =
        object.at("metadata.annotations").and_then(|map| map.get("volume.beta.kubernetes.io/storage-class"));
    annotation.and_then(Tree::as_str).unwrap_or_else(|| object.text("spec.storageClassName")).to_owned()
}

fn claim(object: &Tree) -> Tree {
    match object.at("spec.claimRef") {
        Some(claim) => format!("{}/{}", claim.text("namespace"), claim.text("name")).into(),
        None => "".into(),
    }
}

pub struct PersistentVolume;

impl Rules for PersistentVolume {
    fn default(&self, new: &mut Tree) {
        set_if_empty(new, "status.phase", "Pending");
        set_if_empty(new, "spec.persistentVolumeReclaimPolicy", "Retain");
        new.set_default("spec.volumeMode", "Filesystem");
        if new.has("spec.hostPath") {
            new.set_default("spec.hostPath.type", "");
        }
    }

    fn prepare_create(&self, new: &mut Tree) {
        let now = at(new, "metadata.creationTimestamp").clone();
        new.set("status", json!({"phase": "Pending", "lastPhaseTransitionTime": now}));
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_spec(&At::root(new).child("spec"), errors);
        if let Some(old) = old {
            check_update(new, old, errors);
        }
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let recycles = new.text("spec.persistentVolumeReclaimPolicy") == "Recycle";
        let warning = "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the \
                       recommended approach is to use dynamic provisioning.";
        recycles.then(|| warning.to_owned()).into_iter().collect()
    }
}

fn check_spec(spec: &At, errors: &mut FieldErrors) {
    let (modes, capacity) = (spec.child("accessModes"), spec.child("capacity"));
    if modes.is_empty() {
        modes.required(errors, "");
    }
    check_access_modes(&modes, errors);
    if capacity.is_empty() {
        capacity.required(errors, "");
    }
    if !capacity.key("storage").exists() || capacity.len() > 1 {
        errors.not_supported(&*capacity.path, capacity.value.clone(), &["storage"]);
    }
    for (_, amount) in capacity.entries() {
        quantities::check_positive(&amount, errors);
    }
    let policy = spec.child("persistentVolumeReclaimPolicy");
    if !policy.is_empty() && !matches!(policy.str(), "Delete" | "Recycle" | "Retain") {
        policy.not_supported(errors, &["Delete", "Recycle", "Retain"]);
    }
    let nodes = spec.child("nodeAffinity");
    if nodes.exists() {
        let required = nodes.child("required");
        if required.exists() {
            affinity::check_node_selector(&required, errors);
        } else {
            required.required(errors, "must specify required node constraints");
        }
    }
    check_source(spec, nodes.exists(), errors);
    if spec.text("hostPath.path").trim_end_matches('/').is_empty() && spec.has("hostPath") && policy.str() == "Recycle"
    {
        policy.forbidden(errors, "may not be 'recycle' for a hostPath mount of '/'");
    }
    check_class(&spec.child("storageClassName"), errors);
    let mode = spec.child("volumeMode");
    if mode.exists() && !VOLUME_MODES.contains(&mode.str()) {
        mode.not_supported(errors, VOLUME_MODES);
    }
    let class = spec.child("volumeAttributesClassName");
    if class.exists() {
        if class.is_empty() {
            class.required(errors, "an empty string is disallowed");
        }
        check_class(&class, errors);
        if !spec.has("csi") {
            spec.child("csi").required(errors, "has to be specified when using volumeAttributesClassName");
        }
    }
}

/// Sources in the order that upstream looks for them, with what each needs.
const SOURCES: &[(&str, &[&str])] = &[
    ("hostPath", &[]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("glusterfs", &["endpoints", "path"]),
    ("flocker", &[]),
    ("nfs", &["server", "path"]),
    ("rbd", &["monitors", "image"]),
    ("quobyte", &["registry", "volume"]),
    ("cephfs", &["monitors"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("cinder", &["volumeID"]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("local", &["path"]),
    ("storageos", &[]),
    ("csi", &[]),
];

fn check_source(spec: &At, has_affinity: bool, errors: &mut FieldErrors) {
    let mut found = false;
    for (field, needed) in SOURCES {
        let source = spec.child(field);
        if !source.exists() {
            continue;
        }
        // A flexVolume that is not the only source is nobody's mistake but that of those after it.
        if std::mem::replace(&mut found, true) && *field != "flexVolume" {
            let shown = if *field == "cephfs" { "cephFS" } else { field };
            errors.forbidden(spec.path_to(shown), "may not specify more than 1 volume type");
            continue;
        }
        volumes::need(&source, needed, errors);
        match *field {
            "hostPath" => volumes::check_host_path(&source, errors),
            "nfs" if !source.text("path").starts_with('/') => {
                source.child("path").invalid_text(errors, "must be an absolute path");
            }
            "local" => {
                crate::resources::podspec::paths::check_no_backsteps(&source.child("path"), errors);
                if !has_affinity {
                    spec.child("nodeAffinity").required(errors, "Local volume requires node affinity");
                }
            }
            "csi" => check_csi(&source, errors),
            _ => (),
        }
    }
    if !found {
        spec.required(errors, "must specify a volume type");
    }
}

fn check_csi(source: &At, errors: &mut FieldErrors) {
    volumes::check_driver_name(&source.child("driver"), errors);
    volumes::need(source, &["volumeHandle"], errors);
    for secret in
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"]
    {
        let reference = source.child(secret);
        for (field, format) in
            [("name", names::is_dns1123_subdomain as fn(&str) -> Vec<String>), ("namespace", names::is_dns1123_label)]
        {
            let place = reference.child(field);
            if reference.exists() && place.is_empty() {
                place.required(errors, "");
            } else if !place.is_empty() {
                place.format(errors, format(place.str()));
            }
        }
    }
}

fn check_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let changed = |field: &&str| {
        let (mut now, before) = (at(new, &format!("spec.{field}")).clone(), at(old, &format!("spec.{field}")));
        if before.is_object() && !before.has("controllerExpandSecretRef") {
            now.as_object_mut().map(|map| map.remove("controllerExpandSecretRef"));
        }
        &now != before
    };
    if SOURCES.iter().any(|(field, _)| changed(field)) {
        let changed = inner::difference("PersistentVolumeSource", at(old, "spec"), at(new, "spec"));
        let why = format!("spec.persistentvolumesource is immutable after creation\n{changed}");
        errors.forbidden("spec.persistentvolumesource", why);
    }
    At::new(at(new, "spec.volumeMode"), "volumeMode").immutable(errors, at(old, "spec.volumeMode"));
    if old.has("spec.volumeAttributesClassName") && !new.has("spec.volumeAttributesClassName") {
        errors.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden");
    }
}
