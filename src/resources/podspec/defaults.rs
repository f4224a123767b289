//! What a pod spec takes on where it says nothing.

use crate::object::tree::{Map, Tree, TreePath, json};
use crate::resources::defaults::{each, set_if_empty};
use crate::resources::quantities::{self, amount};

use crate::object::sums;

/// Defaults of a spec in a template: those that do not depend on the pod it will be.
pub fn template(spec: &mut Tree) {
    if !spec.is_object() {
        *spec = Tree::Object(Map::new());
    }
    spec.unset("schedulingGroup"); // gang scheduling is off by default upstream
    set_if_empty(spec, "dnsPolicy", "ClusterFirst");
    set_if_empty(spec, "restartPolicy", "Always");
    spec.set_default("securityContext", json!({}));
    spec.set_default("terminationGracePeriodSeconds", 30);
    set_if_empty(spec, "schedulerName", "default-scheduler");
    // The old name of the same field.
    for (field, other) in [("serviceAccount", "serviceAccountName"), ("serviceAccountName", "serviceAccount")] {
        let name = spec.text(other).to_owned();
        if !name.is_empty() {
            set_if_empty(spec, field, name);
        }
    }
    each(spec, "volumes", volume);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, list, container);
    }
    if spec.flag("hostNetwork") == Some(true) {
        for list in ["initContainers", "containers"] {
            each(spec, list, |container| {
                each(container, "ports", |port| {
                    if let (0, Some(number)) = (port.int("hostPort").unwrap_or(0), port.int("containerPort")) {
                        port.set("hostPort", number);
                    }
                });
            });
        }
    }
}

/// Defaults of a pod's own spec.
pub fn pod(spec: &mut Tree) {
    template(spec);
    for list in ["containers", "initContainers"] {
        each(spec, list, |container| requests_from_limits(container));
    }
    pod_level(spec);
    spec.set_default("enableServiceLinks", true);
}

fn requests_from_limits(container: &mut Tree) {
    let Some(limits) = container.at("resources.limits").and_then(Tree::as_object).cloned() else { return };
    for (name, limit) in limits {
        let requests = entry(container, "resources.requests");
        requests.entry(name).or_insert(limit);
    }
}

/// The map at `path`, made if it is not there.
fn entry<'t>(tree: &'t mut Tree, path: &str) -> &'t mut Map {
    if !tree.at(path).is_some_and(Tree::is_object) {
        tree.set(path, json!({}));
    }
    let Some(Tree::Object(map)) = tree.at_mut(path) else { unreachable!("made an object above") };
    map
}

/// Requests of the pod as a whole: what its containers ask for, else its limits.
fn pod_level(spec: &mut Tree) {
    let any = |spec: &Tree, path: &str| spec.map(path).is_some_and(|map| !map.is_empty());
    if !any(spec, "resources.limits") && !any(spec, "resources.requests") {
        return;
    }
    for (name, limit) in sums::container_limits(spec) {
        let requested = spec.at("resources.requests").is_some_and(|list| list.get(&name).is_some());
        if quantities::is_huge_page(&name) && !requested {
            entry(spec, "resources.limits").entry(name).or_insert_with(|| limit.to_string().into());
        }
    }
    let Some(limits) = spec.map("resources.limits").filter(|map| !map.is_empty()).cloned() else { return };
    let supported = |name: &str| matches!(name, "cpu" | "memory") || quantities::is_huge_page(name);
    for (name, sum) in sums::container_requests(spec) {
        if supported(&name) && quantities::may_overcommit(&name) {
            entry(spec, "resources.requests").entry(name).or_insert_with(|| sum.to_string().into());
        }
    }
    for (name, limit) in limits {
        if supported(&name) {
            entry(spec, "resources.requests").entry(name).or_insert(limit);
        }
    }
}

fn volume(volume: &mut Tree) {
    let sources = volume.as_object().map_or(0, |map| map.iter().filter(|(k, v)| *k != "name" && !v.is_null()).count());
    if sources == 0 {
        volume.set("emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if volume.has(source) {
            volume.set_default(&format!("{source}.defaultMode"), 0o644);
        }
    }
    if volume.has("hostPath") {
        volume.set_default("hostPath.type", "");
    }
    each(volume, "downwardAPI.items", downward_file);
    each(volume, "projected.sources", |source| {
        if source.has("serviceAccountToken") {
            source.set_default("serviceAccountToken.expirationSeconds", 3600);
        }
        each(source, "downwardAPI.items", downward_file);
    });
    if volume.has("ephemeral.volumeClaimTemplate.spec") {
        volume.set_default("ephemeral.volumeClaimTemplate.spec.volumeMode", "Filesystem");
    }
    if volume.has("image") {
        let policy = pull_policy(volume.text("image.reference"));
        set_if_empty(volume, "image.pullPolicy", policy);
    }
    if volume.has("iscsi") {
        set_if_empty(volume, "iscsi.iscsiInterface", "default");
    }
    if volume.has("azureDisk") {
        volume.set_default("azureDisk.readOnly", false);
    }
}

fn downward_file(file: &mut Tree) {
    if file.has("fieldRef") {
        set_if_empty(file, "fieldRef.apiVersion", "v1");
    }
    divisor(file, "resourceFieldRef");
}

/// An absent divisor is written as zero.
fn divisor(place: &mut Tree, field: &str) {
    if place.has(field) {
        place.set_default(&format!("{field}.divisor"), "0");
    }
}

fn container(container: &mut Tree) {
    let policy = pull_policy(container.text("image"));
    set_if_empty(container, "imagePullPolicy", policy);
    set_if_empty(container, "terminationMessagePath", "/dev/termination-log");
    set_if_empty(container, "terminationMessagePolicy", "File");
    each(container, "ports", |port| set_if_empty(port, "protocol", "TCP"));
    each(container, "env", |variable| {
        if variable.has("valueFrom.fieldRef") {
            set_if_empty(variable, "valueFrom.fieldRef.apiVersion", "v1");
        }
        divisor(variable, "valueFrom.resourceFieldRef");
        if variable.has("valueFrom.fileKeyRef") {
            variable.set_default("valueFrom.fileKeyRef.optional", false);
        }
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name).filter(|probe| probe.is_object()) {
            for (field, value) in
                [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                if probe.int(field).unwrap_or(0) == 0 {
                    probe.set(field, value);
                }
            }
            http_get(probe);
            if probe.has("grpc") {
                probe.set_default("grpc.service", "");
            }
        }
    }
    for hook in ["lifecycle.postStart", "lifecycle.preStop"] {
        if let Some(hook) = container.at_mut(hook) {
            http_get(hook);
        }
    }
    if container.has("securityContext.procMount") {
        set_if_empty(container, "securityContext.procMount", "Default");
    }
    for kind in ["limits", "requests"] {
        round(container, &format!("resources.{kind}"));
    }
}

fn http_get(handler: &mut Tree) {
    if handler.has("httpGet") {
        set_if_empty(handler, "httpGet.path", "/");
        set_if_empty(handler, "httpGet.scheme", "HTTP");
    }
}

/// Amounts finer than a thousandth are rounded up.
fn round(tree: &mut Tree, path: &str) {
    for value in tree.at_mut(path).and_then(Tree::as_object_mut).into_iter().flat_map(|map| map.values_mut()) {
        let fine = value.as_str().is_some_and(|text| text.ends_with(['n', 'u']) || text.contains('.'));
        if fine {
            *value = crate::object::quantity::Quantity::from_millis(amount(value).millis()).to_string().into();
        }
    }
}

/// Images without a tag, or tagged `latest`, are always pulled.
pub fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, tag)| tag);
    let latest = tag == Some("latest") || (tag.is_none() && !digest);
    if latest && is_image_name(name) { "Always" } else { "IfNotPresent" }
}

/// Whether a name (without digest) is one that a registry could have.
fn is_image_name(name: &str) -> bool {
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    let is_domain = first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase());
    let path = if is_domain { rest } else { name };
    let path = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => path,
        _ => path,
    };
    let component = |part: &str| {
        let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(outer) && part.ends_with(outer) && part.chars().all(|c| outer(c) || "._-".contains(c))
    };
    let is_id = name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit());
    !is_id && path.split('/').all(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_latest_images_are_always_pulled() {
        for image in ["nginx", "a.b/c:latest", "localhost:5000/x", "x/y"] {
            assert_eq!(pull_policy(image), "Always", "{image}");
        }
        for image in ["nginx:1", "localhost:5000/x:2", "x@sha256:abc", "Bad Name", ""] {
            assert_eq!(pull_policy(image), "IfNotPresent", "{image}");
        }
    }
}
