//! Warnings about pod specs that are valid but hardly meant so.

use std::collections::BTreeMap;

use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::quantities::amount;

use super::each_container;

pub fn of_spec(spec: &At, meta: &Tree) -> Vec<String> {
    let mut warnings = Vec::new();
    old_node_labels(spec, &mut warnings);
    old_annotations(meta, spec, &mut warnings);
    for alias in spec.child("hostAliases").items() {
        ip_spelling(&alias.child("ip"), &mut warnings);
    }
    for secret in spec.child("imagePullSecrets").items().filter(|secret| secret.text("name").is_empty()) {
        warnings.push(format!("{}: invalid empty name \"\"", secret.path_to("name")));
    }
    volumes(spec, &mut warnings);
    duplicates(spec, &mut warnings);
    for container in each_container(spec) {
        fractional_bytes(&container.child("resources"), &mut warnings);
    }
    fractional_bytes(&spec.child("resources"), &mut warnings);
    if spec.value.int("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        warnings.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            spec.path_to("terminationGracePeriodSeconds")
        ));
    }
    warnings
}

fn ip_spelling(ip: &At, warnings: &mut Vec<String>) {
    if let Some(address) = crate::resources::ip::parse_sloppy(ip.str())
        && address.to_string() != ip.str()
    {
        warnings.push(format!(
            "{}: IPv6 address {:?} should be in RFC 5952 canonical format ({:?})",
            ip.path,
            ip.str(),
            address.to_string()
        ));
    }
}

fn old_node_labels(spec: &At, warnings: &mut Vec<String>) {
    const OLD: &[(&str, &str)] = &[
        ("beta.kubernetes.io/arch", "use \"kubernetes.io/arch\" instead"),
        ("beta.kubernetes.io/os", "use \"kubernetes.io/os\" instead"),
        ("failure-domain.beta.kubernetes.io/region", "use \"topology.kubernetes.io/region\" instead"),
        ("failure-domain.beta.kubernetes.io/zone", "use \"topology.kubernetes.io/zone\" instead"),
        ("beta.kubernetes.io/instance-type", "use \"node.kubernetes.io/instance-type\" instead"),
    ];
    for (key, place) in spec.child("nodeSelector").entries() {
        if let Some((_, advice)) = OLD.iter().find(|(old, _)| *old == key) {
            warnings.push(format!("{}: deprecated since v1.14; {advice}", place.path));
        }
    }
}

fn old_annotations(meta: &Tree, spec: &At, warnings: &mut Vec<String>) {
    let root = if &*spec.path == "spec" { "metadata".to_owned() } else { spec.path.replace(".spec", ".metadata") };
    for key in meta.map("annotations").into_iter().flat_map(|map| map.keys()) {
        if let Some(name) = key.strip_prefix("container.apparmor.security.beta.kubernetes.io/") {
            let has_field = each_container(spec)
                .any(|container| container.text("name") == name && container.has("securityContext.appArmorProfile"))
                || spec.has("securityContext.appArmorProfile");
            if !has_field {
                warnings.push(format!(
                    "{root}.annotations[{key}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
                ));
            }
        }
    }
}

fn volumes(spec: &At, warnings: &mut Vec<String>) {
    const REMOVED: &[(&str, &str)] = &[
        ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
        ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
        ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ];
    for volume in spec.child("volumes").items() {
        for (field, advice) in REMOVED.iter().filter(|(field, _)| volume.has(field)) {
            warnings.push(format!("{}: {advice}", volume.path_to(field)));
        }
        let name = volume.text("name");
        for field in ["configMap", "secret", "downwardAPI"] {
            overlapping(&volume.child(field).child("items"), name, warnings);
        }
        if volume.has("projected") && volume.child("projected.sources").items().all(|source| source.is_empty()) {
            warnings.push(format!("volume {name:?} (Projected) has no sources provided"));
        }
    }
}

fn overlapping(items: &At, volume: &str, warnings: &mut Vec<String>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for path in items.items().map(|item| item.value.text("path")) {
        let count = seen.entry(path).or_default();
        *count += 1;
        if *count == 2 {
            warnings.push(format!("volume {volume:?}: path {path:?} is used more than once"));
        }
    }
}

/// Memory in thousandths of a byte is meant otherwise.
fn fractional_bytes(resources: &At, warnings: &mut Vec<String>) {
    for kind in ["limits", "requests"] {
        for (name, value) in resources.child(kind).entries() {
            let counts_bytes = matches!(name, "memory" | "ephemeral-storage");
            if counts_bytes && !amount(value.value).is_whole() {
                warnings.push(format!(
                    "{}: fractional byte value {:?} is invalid, must be an integer",
                    value.path,
                    value.str()
                ));
            }
        }
    }
}

/// Names of variables, and ports, that stand in a list twice.
fn duplicates(spec: &At, warnings: &mut Vec<String>) {
    for container in each_container(spec) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for variable in container.child("env").items() {
            let name = variable.text("name");
            let count = names.entry(name).or_default();
            *count += 1;
            if *count > 1 && !variable.text("value").contains(&format!("$({name})")) {
                warnings.push(format!(
                    "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                    variable.path
                ));
            }
        }
        let mut ports: BTreeMap<(i64, &str, i64, &str), String> = BTreeMap::new();
        for port in container.child("ports").items() {
            let number = |field: &str| port.value.int(field).unwrap_or(0);
            let key = (number("containerPort"), port.text("protocol"), number("hostPort"), port.text("hostIP"));
            if let Some(first) = ports.get(&key) {
                warnings.push(format!("{}: duplicate port definition with {first}", port.path));
            } else {
                ports.insert(key, port.path.to_string());
            }
            if number("hostPort") == 0 && !port.text("hostIP").is_empty() {
                let (name, protocol, ip) = (port.text("name"), port.text("protocol"), port.text("hostIP"));
                warnings.push(format!(
                    "{}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{} Protocol:{protocol} HostIP:{ip}}}",
                    port.path,
                    number("containerPort"),
                ));
            }
        }
    }
}
