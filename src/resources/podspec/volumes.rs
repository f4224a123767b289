//! Volumes: exactly one source each, and what each source needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::quantities::amount;
use crate::resources::{claims, names};

use super::paths::{check_descending, check_file, check_mode, check_no_backsteps};
use super::{env, projected};

/// Sources that are found valid, by volume name.
pub type Sources<'t> = BTreeMap<&'t str, &'t Tree>;

type Check = fn(&At, &mut FieldErrors);

/// Every source, in the order that upstream looks for them: field, the name complaints about a
/// second source use, and its check.
const SOURCES: &[(&str, &str, Check)] = &[
    ("emptyDir", "emptyDir", check_empty_dir),
    ("hostPath", "hostPath", check_host_path),
    ("gitRepo", "gitRepo", check_git_repo),
    ("gcePersistentDisk", "gcePersistentDisk", |s, e| need(s, &["pdName"], e)),
    ("awsElasticBlockStore", "awsElasticBlockStore", |s, e| need(s, &["volumeID"], e)),
    ("secret", "secret", |s, e| check_keys(s, "secretName", e)),
    ("nfs", "nfs", check_nfs),
    ("iscsi", "iscsi", check_iscsi),
    ("glusterfs", "glusterfs", |s, e| need(s, &["endpoints", "path"], e)),
    ("flocker", "flocker", check_flocker),
    ("persistentVolumeClaim", "persistentVolumeClaim", |s, e| need(s, &["claimName"], e)),
    ("rbd", "rbd", |s, e| need(s, &["monitors", "image"], e)),
    ("cinder", "cinder", check_cinder),
    ("cephfs", "cephFS", |s, e| need(s, &["monitors"], e)),
    ("quobyte", "quobyte", check_quobyte),
    ("downwardAPI", "downwarAPI", check_downward),
    ("fc", "fc", check_fc),
    ("flexVolume", "flexVolume", |s, e| need(s, &["driver"], e)),
    ("configMap", "configMap", |s, e| check_keys(s, "name", e)),
    ("azureFile", "azureFile", |s, e| need(s, &["secretName", "shareName"], e)),
    ("vsphereVolume", "vsphereVolume", |s, e| need(s, &["volumePath"], e)),
    ("photonPersistentDisk", "photonPersistentDisk", |s, e| need(s, &["pdID"], e)),
    ("portworxVolume", "portworxVolume", |s, e| need(s, &["volumeID"], e)),
    ("azureDisk", "azureDisk", |s, e| need(s, &["diskName", "diskURI"], e)),
    ("storageos", "storageos", |s, e| need(s, &["volumeName"], e)),
    ("projected", "projected", projected::check),
    ("scaleIO", "scaleIO", |s, e| need(s, &["gateway", "system", "volumeName"], e)),
    ("csi", "csi", check_csi),
    ("ephemeral", "ephemeral", check_ephemeral),
    ("image", "image", check_image),
];

/// `pod` is the pod's name, if it has one: ephemeral volumes get claims that are named after it.
pub fn check_volumes<'t>(volumes: &At<'t>, pod: &str, errors: &mut FieldErrors) -> Sources<'t> {
    let mut valid = Sources::new();
    let ephemeral: BTreeSet<String> = volumes
        .items()
        .filter(|volume| !pod.is_empty() && volume.has("ephemeral"))
        .map(|volume| format!("{pod}-{}", volume.text("name")))
        .collect();
    for volume in volumes.items() {
        let before = errors.list.len();
        check_source(&volume, pod, errors);
        let name = volume.child("name");
        if name.is_empty() {
            name.required(errors, "");
        } else {
            name.format(errors, names::is_dns1123_label(name.str()));
        }
        if valid.contains_key(name.str()) {
            name.duplicate(errors);
        }
        if errors.list.len() == before {
            valid.insert(name.str(), volume.value);
        }
        let claim = volume.child("persistentVolumeClaim.claimName");
        if claim.exists() && ephemeral.contains(claim.str()) {
            claim.invalid(errors, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    valid
}

fn check_source(volume: &At, pod: &str, errors: &mut FieldErrors) {
    let mut found = false;
    for (field, shown, check) in SOURCES {
        let source = volume.child(field);
        if !source.exists() {
            continue;
        }
        if std::mem::replace(&mut found, true) {
            errors.forbidden(volume.path_to(shown), "may not specify more than 1 volume type");
            continue;
        }
        check(&source, errors);
        let name = volume.text("name");
        if *field == "ephemeral" && !pod.is_empty() && !name.is_empty() {
            let claim = format!("{pod}-{name}");
            for complaint in names::is_dns1123_subdomain(&claim) {
                volume.child("name").invalid_text(errors, format!("PVC name {claim:?}: {complaint}"));
            }
        }
    }
    if !found {
        volume.required(errors, "must specify a volume type");
    }
}

/// Each of these has to be there.
pub fn need(source: &At, fields: &[&str], errors: &mut FieldErrors) {
    for field in fields {
        let place = source.child(field);
        if place.is_empty() {
            place.required(errors, "");
        }
    }
}

fn check_empty_dir(source: &At, errors: &mut FieldErrors) {
    let limit = source.child("sizeLimit");
    if limit.exists() && amount(limit.value).is_negative() {
        limit.forbidden(errors, "SizeLimit field must be a valid resource quantity");
    }
}

pub fn check_host_path(source: &At, errors: &mut FieldErrors) {
    const TYPES: &[&str] =
        &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    let (path, kind) = (source.child("path"), source.child("type"));
    if path.is_empty() {
        return path.required(errors, "");
    }
    check_no_backsteps(&path, errors);
    if kind.exists() && !TYPES.contains(&kind.str()) {
        kind.not_supported(errors, TYPES);
    }
}

fn check_git_repo(source: &At, errors: &mut FieldErrors) {
    need(source, &["repository"], errors);
    check_descending(&source.child("directory"), errors);
}

/// A secret or a config map, by the field that names it.
fn check_keys(source: &At, name: &str, errors: &mut FieldErrors) {
    need(source, &[name], errors);
    check_mode(&source.child("defaultMode"), errors);
    source.child("items").items().for_each(|item| check_key_to_path(&item, errors));
}

pub fn check_key_to_path(item: &At, errors: &mut FieldErrors) {
    need(item, &["key", "path"], errors);
    check_file(&item.child("path"), errors);
    check_mode(&item.child("mode"), errors);
}

fn check_nfs(source: &At, errors: &mut FieldErrors) {
    need(source, &["server", "path"], errors);
    if !source.text("path").starts_with('/') {
        source.child("path").invalid_text(errors, "must be an absolute path");
    }
}

fn check_iscsi(source: &At, errors: &mut FieldErrors) {
    need(source, &["targetPortal", "iqn"], errors);
    let iqn = source.child("iqn");
    if !iqn.is_empty() && !["iqn", "eui", "naa"].iter().any(|start| iqn.str().starts_with(start)) {
        iqn.invalid_text(errors, "must be valid format starting with iqn, eui, or naa");
    }
    let lun = source.child("lun");
    lun.number_format(errors, names::in_range(lun.int().unwrap_or(0), 0, 255));
    let chap = source.child("chapAuthDiscovery").flag() || source.child("chapAuthSession").flag();
    if chap && !source.has("secretRef") {
        source.child("secretRef").required(errors, "");
    }
}

fn check_flocker(source: &At, errors: &mut FieldErrors) {
    let (name, uuid) = (source.child("datasetName"), source.child("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        source.required(errors, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        errors.invalid(&*source.path, "resource", detail);
    }
    if name.str().contains('/') {
        name.invalid_text(errors, "must not contain '/'");
    }
}

fn check_cinder(source: &At, errors: &mut FieldErrors) {
    need(source, &["volumeID"], errors);
    let name = source.child("secretRef.name");
    if source.has("secretRef") && name.is_empty() {
        name.required(errors, "");
    }
}

fn check_quobyte(source: &At, errors: &mut FieldErrors) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = source.child("registry");
    let is_pair =
        |pair: &str| pair.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    if registry.is_empty() {
        registry.required(errors, PAIRS);
    } else if source.child("tenant").len() >= 65 {
        source.child("tenant").required(errors, "must be a UUID and may not exceed a length of 64 characters");
    } else {
        registry.str().split(',').filter(|pair| !is_pair(pair)).for_each(|_| registry.invalid_text(errors, PAIRS));
    }
    need(source, &["volume"], errors);
}

fn check_fc(source: &At, errors: &mut FieldErrors) {
    let (names_, ids) = (source.child("targetWWNs"), source.child("wwids"));
    if names_.is_empty() && ids.is_empty() {
        names_.required(errors, "must specify either targetWWNs or wwids, but not both");
    }
    if names_.is_empty() {
        return;
    }
    if !ids.is_empty() {
        names_.invalid(errors, "targetWWNs and wwids can not be specified simultaneously");
    }
    let lun = source.child("lun");
    match lun.int() {
        None => lun.required(errors, "lun is required if targetWWNs is specified"),
        Some(number) => lun.number_format(errors, names::in_range(number, 0, 255)),
    }
}

fn check_downward(source: &At, errors: &mut FieldErrors) {
    check_mode(&source.child("defaultMode"), errors);
    source.child("items").items().for_each(|file| check_downward_file(&file, source, errors));
}

/// Upstream names the source, not the file in it.
pub fn check_downward_file(file: &At, source: &At, errors: &mut FieldErrors) {
    const FIELDS: &[&str] =
        &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
    let moved = |field: &str| At::new(file.child(field).value, source.path_to(field));
    let path = moved("path");
    if path.is_empty() {
        path.required(errors, "");
    }
    check_file(&path, errors);
    match (file.has("fieldRef"), file.has("resourceFieldRef")) {
        (true, both) => {
            env::check_field(&moved("fieldRef"), FIELDS, errors);
            if both {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.invalid(&*source.path, "resource", detail);
            }
        }
        (false, true) => env::check_resource_field(&moved("resourceFieldRef"), true, errors),
        (false, false) => source.required(errors, "one of fieldRef and resourceFieldRef is required"),
    }
    check_mode(&moved("mode"), errors);
}

fn check_csi(source: &At, errors: &mut FieldErrors) {
    check_driver_name(&source.child("driver"), errors);
    let reference = source.child("nodePublishSecretRef");
    if reference.exists() {
        let name = reference.child("name");
        if name.is_empty() {
            name.required(errors, "");
        } else {
            name.format(errors, names::is_dns1123_subdomain(name.str()));
        }
    }
}

/// The name of a CSI driver.
pub fn check_driver_name(driver: &At, errors: &mut FieldErrors) {
    if driver.is_empty() {
        return driver.required(errors, "");
    }
    if driver.len() > 63 {
        errors.too_long(&*driver.path, 63);
    }
    driver.format(errors, names::is_dns1123_subdomain(&driver.str().to_lowercase()));
}

fn check_ephemeral(source: &At, errors: &mut FieldErrors) {
    let template = source.child("volumeClaimTemplate");
    if !template.exists() {
        return template.required(errors, "");
    }
    claims::check_template(&template, errors);
}

fn check_image(source: &At, errors: &mut FieldErrors) {
    need(source, &["reference"], errors);
    super::containers::check_pull_policy(&source.child("pullPolicy"), errors);
}
