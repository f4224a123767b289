//! Containers of the three sorts: main, init and ephemeral.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::field::FieldErrors;
use crate::object::tree::TreePath;
use crate::resources::check::At;
use crate::resources::{names, quantities};

use super::paths::{check_descending, check_no_backsteps};
use super::probes::{Pod, check_lifecycle, check_probes};
use super::volumes::Sources;
use super::{env, security};

/// What the checks of containers need of the rest of the pod.
pub struct Around<'c, 't> {
    pub volumes: &'c Sources<'t>,
    pub claims: &'c BTreeSet<&'t str>,
    pub pod: Pod<'t>,
    pub restart_policy: &'t str,
    pub host_users: bool,
}

pub fn check_main(containers: &At, around: &Around, errors: &mut FieldErrors) {
    if containers.is_empty() {
        return containers.required(errors, "");
    }
    let mut seen = BTreeSet::new();
    for container in containers.items() {
        check_common(&container, around, errors);
        if !seen.insert(container.text("name")) {
            container.child("name").duplicate(errors);
        }
        check_lifecycle(&container.child("lifecycle"), around.pod, errors);
        check_probes(&container, around.pod, errors);
        check_restart_rules(&container, errors);
    }
    check_host_ports(containers.items(), errors);
}

pub fn check_init(containers: &At, main: &At, around: &Around, errors: &mut FieldErrors) {
    let mut seen: BTreeSet<&str> = main.items().map(|container| container.text("name")).collect();
    for (at, container) in containers.items().enumerate() {
        check_common(&container, around, errors);
        let is_sidecar = container.text("restartPolicy") == "Always";
        check_restart_rules(&container, errors);
        let name = container.child("name");
        if !name.is_empty() && !seen.insert(name.str()) {
            name.duplicate(errors);
        }
        // Upstream looks at each init container by itself, and so counts it as the first.
        check_host_ports(std::iter::once(At::new(container.value, format!("{}[0]", containers.path))), errors);
        if is_sidecar {
            check_lifecycle(&container.child("lifecycle"), around.pod, errors);
            check_probes(&container, around.pod, errors);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let place = container.child(field);
            if place.exists() {
                place.forbidden(errors, "may not be set for init containers without restartPolicy=Always");
            }
        }
        for policy in containers.index(at).child("resizePolicy").items() {
            let restart = policy.child("restartPolicy");
            if restart.str() == "RestartContainer" {
                restart.invalid(errors, "must not be set to 'RestartContainer' for non-sidecar initContainers");
            }
        }
    }
}

pub fn check_ephemeral(containers: &At, spec: &At, around: &Around, errors: &mut FieldErrors) {
    const ALLOWED: &[&str] = &[
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "env",
        "envFrom",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
        "resources",
    ];
    const REFUSED: &str = "cannot be set for an Ephemeral Container";
    let others = spec.child("containers").items().chain(spec.child("initContainers").items());
    let others: BTreeSet<&str> = others.map(|container| container.text("name")).collect();
    let mut seen = others.clone();
    for container in containers.items() {
        check_common(&container, around, errors);
        check_image_spaces(&container, errors);
        if !seen.insert(container.text("name")) {
            container.child("name").duplicate(errors);
        }
        let target = container.child("targetContainerName");
        if !target.is_empty() && !others.contains(target.str()) {
            target.not_found(errors);
        }
        for (field, value) in container.value.as_object().into_iter().flatten() {
            let place = container.child(field);
            let asks = field == "resources" && value.as_object().is_some_and(|map| !map.is_empty());
            if !place.is_empty() && (asks || !ALLOWED.contains(&field.as_str())) {
                place.forbidden(errors, REFUSED);
            }
        }
        for mount in container.child("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.text(field).is_empty() {
                    mount.child(field).forbidden(errors, REFUSED);
                }
            }
        }
    }
}

fn check_common(container: &At, around: &Around, errors: &mut FieldErrors) {
    let (name, image) = (container.child("name"), container.child("image"));
    if name.is_empty() {
        name.required(errors, "");
    } else {
        name.format(errors, names::is_dns1123_label(name.str()));
    }
    if image.is_empty() {
        image.required(errors, "");
    }
    container.child("terminationMessagePolicy").one_of(errors, &["File", "FallbackToLogsOnError"]);
    check_ports(&container.child("ports"), errors);
    env::check_env(&container.child("env"), errors);
    env::check_env_from(&container.child("envFrom"), errors);
    check_mounts(container, around.volumes, errors);
    check_devices(container, around.volumes, errors);
    check_pull_policy(&container.child("imagePullPolicy"), errors);
    let resources = container.child("resources");
    quantities::check_requirements(&resources, quantities::check_container_name, around.claims, errors);
    check_resize_policy(&container.child("resizePolicy"), around.restart_policy, errors);
    security::check_container(&container.child("securityContext"), around.host_users, errors);
}

/// Only of pods: templates may have such images, and fail later.
pub fn check_image_spaces(container: &At, errors: &mut FieldErrors) {
    let image = container.child("image");
    if image.str().trim() != image.str() {
        image.invalid(errors, "must not have leading or trailing whitespace");
    }
}

pub fn check_pull_policy(policy: &At, errors: &mut FieldErrors) {
    policy.one_of(errors, &["Always", "IfNotPresent", "Never"]);
}

fn check_ports(ports: &At, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let (name, number, host) = (port.child("name"), port.child("containerPort"), port.child("hostPort"));
        if !name.is_empty() {
            let complaints = names::is_port_name(name.str());
            if complaints.is_empty() && !seen.insert(name.str()) {
                name.duplicate(errors);
            }
            name.format(errors, complaints);
        }
        match number.int().unwrap_or(0) {
            0 => number.required(errors, ""),
            given => number.number_format(errors, names::is_port_number(given)),
        }
        match host.int().unwrap_or(0) {
            0 => (),
            given => host.number_format(errors, names::is_port_number(given)),
        }
        port.child("protocol").one_of(errors, &["SCTP", "TCP", "UDP"]);
    }
}

fn check_host_ports<'t>(containers: impl Iterator<Item = At<'t>>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for port in containers.flat_map(|container| container.child("ports").items()) {
        let host = port.value.int("hostPort").unwrap_or(0);
        let shown = format!("{}/{}/{host}", port.text("protocol"), port.text("hostIP"));
        if host != 0 && !seen.insert(shown.clone()) {
            errors.duplicate(port.path_to("hostPort"), shown);
        }
    }
}

fn check_mounts(container: &At, volumes: &Sources, errors: &mut FieldErrors) {
    let mounts = container.child("volumeMounts");
    let devices: BTreeMap<&str, &str> =
        container.child("volumeDevices").items().map(|d| (d.text("name"), d.text("devicePath"))).collect();
    let privileged = container.child("securityContext.privileged").flag();
    let mut paths = BTreeSet::new();
    for mount in mounts.items() {
        let (name, path) = (mount.child("name"), mount.child("mountPath"));
        if name.is_empty() {
            name.required(errors, "");
        }
        if !volumes.contains_key(name.str()) {
            errors.not_found(&*name.path, name.str());
        }
        if path.is_empty() {
            path.required(errors, "");
        }
        if !paths.insert(path.str()) {
            path.invalid_text(errors, "must be unique");
        }
        if devices.contains_key(name.str()) {
            name.invalid_text(errors, "must not already exist in volumeDevices");
        }
        if devices.values().any(|device| *device == path.str()) {
            path.invalid_text(errors, "must not already exist as a path in volumeDevices");
        }
        // Upstream names these without the mount's index.
        let listed = |field: &str| At::new(mount.child(field).value, mounts.path_to(field));
        let (sub, expression) = (listed("subPath"), listed("subPathExpr"));
        if !sub.is_empty() {
            check_descending(&sub, errors);
        }
        if !expression.is_empty() {
            if !sub.is_empty() {
                mount.child("subPathExpr").invalid_text(errors, "subPathExpr and subPath are mutually exclusive");
            }
            check_descending(&expression, errors);
        }
        check_propagation(&listed("mountPropagation"), privileged, errors);
        check_recursive_read_only(&listed("recursiveReadOnly"), &mount, errors);
    }
}

fn check_propagation(propagation: &At, privileged: bool, errors: &mut FieldErrors) {
    if !propagation.exists() {
        return;
    }
    const MODES: &[&str] = &["Bidirectional", "HostToContainer", "None"];
    if !MODES.contains(&propagation.str()) {
        propagation.not_supported(errors, MODES);
    }
    if propagation.str() == "Bidirectional" && !privileged {
        propagation.forbidden(errors, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn check_recursive_read_only(mode: &At, mount: &At, errors: &mut FieldErrors) {
    match mode.value.as_str() {
        None | Some("Disabled") => (),
        Some("Enabled" | "IfPossible") => {
            if !mount.child("readOnly").flag() {
                mode.forbidden(errors, "may only be specified when readOnly is true");
            }
            if !matches!(mount.text("mountPropagation"), "" | "None") {
                mode.forbidden(errors, "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(_) => mode.not_supported(errors, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn check_devices(container: &At, volumes: &Sources, errors: &mut FieldErrors) {
    let mounts: BTreeMap<&str, &str> =
        container.child("volumeMounts").items().map(|m| (m.text("name"), m.text("mountPath"))).collect();
    let (mut paths, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for device in container.child("volumeDevices").items() {
        let (name, path) = (device.child("name"), device.child("devicePath"));
        let volume = volumes.get(name.str());
        if name.is_empty() {
            name.required(errors, "");
        }
        if seen.contains(name.str()) {
            name.invalid_text(errors, "must be unique");
        }
        match volume {
            Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => name.invalid_text(
                errors,
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            ),
            Some(_) => (),
            None => errors.not_found(&*name.path, name.str()),
        }
        if path.is_empty() {
            path.required(errors, "");
        }
        if paths.contains(path.str()) {
            path.invalid_text(errors, "must be unique");
        }
        let mut backsteps = FieldErrors::default();
        check_no_backsteps(&path, &mut backsteps);
        if backsteps.is_empty() {
            paths.insert(path.str());
        } else {
            path.invalid_text(errors, "can not contain backsteps ('..')");
        }
        if mounts.contains_key(name.str()) {
            name.invalid_text(errors, "must not already exist in volumeMounts");
        }
        if mounts.values().any(|mount| *mount == path.str()) {
            path.invalid_text(errors, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            seen.insert(name.str());
        }
    }
}

fn check_resize_policy(policies: &At, pod_restart: &str, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for policy in policies.items() {
        let (resource, restart) = (policy.text("resourceName"), policy.text("restartPolicy"));
        if !seen.insert(resource) {
            errors.duplicate(&*policy.path, resource);
        }
        At::new(policy.child("resourceName").value, &*policies.path).one_of(errors, &["cpu", "memory"]);
        let place = At::new(policy.child("restartPolicy").value, &*policies.path);
        place.one_of(errors, &["NotRequired", "RestartContainer"]);
        if pod_restart == "Never" && restart != "NotRequired" {
            place.invalid_text(errors, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

/// A container's own restart policy, and its rules about exit codes.
fn check_restart_rules(container: &At, errors: &mut FieldErrors) {
    let (policy, rules) = (container.child("restartPolicy"), container.child("restartPolicyRules"));
    if !policy.exists() {
        if rules.is_empty() {
            return;
        }
        policy.required(errors, "must specify restartPolicy when restart rules are used");
    } else if !matches!(policy.str(), "Always" | "Never" | "OnFailure") {
        policy.not_supported(errors, &["Always", "Never", "OnFailure"]);
    }
    if rules.len() > 20 {
        errors.too_many(&*rules.path, rules.len(), 20);
    }
    for rule in rules.items() {
        let (action, codes) = (rule.child("action"), rule.child("exitCodes"));
        if !matches!(action.str(), "Restart" | "RestartAllContainers") {
            action.not_supported(errors, &["Restart", "RestartAllContainers"]);
        }
        if !codes.exists() {
            codes.required(errors, "must be specified");
            continue;
        }
        let operator = codes.child("operator");
        if !matches!(operator.str(), "In" | "NotIn") {
            operator.not_supported(errors, &["In", "NotIn"]);
        }
        if codes.child("values").len() > 255 {
            errors.too_many(codes.path_to("values"), codes.child("values").len(), 255);
        }
    }
}
