//! Environment variables, and the fields of a pod that they (and downward-API files) may show.

use crate::object::field::FieldErrors;
use crate::resources::check::At;
use crate::resources::names;
use crate::resources::quantities::amount;

/// Fields that environment variables may show.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of a pod that can be named at all.
const POD_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const CONTAINER_RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const DIVISORS: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub fn check_env(env: &At, errors: &mut FieldErrors) {
    for variable in env.items() {
        let name = variable.child("name");
        if name.is_empty() {
            name.required(errors, "");
        } else {
            name.format(errors, names::is_relaxed_env_var_name(name.str()));
        }
        check_value_from(&variable, errors);
    }
}

fn check_value_from(variable: &At, errors: &mut FieldErrors) {
    let from = variable.child("valueFrom");
    if !from.exists() {
        return;
    }
    let mut sources = 0;
    let mut source = |name: &str| {
        let place = from.child(name);
        sources += usize::from(place.exists());
        place.exists().then_some(place)
    };
    if let Some(field) = source("fieldRef") {
        check_field(&field, ENV_FIELDS, errors);
    }
    if let Some(resource) = source("resourceFieldRef") {
        check_resource_field(&resource, false, errors);
    }
    if let Some(key) = source("configMapKeyRef") {
        check_key(&key, errors);
    }
    if let Some(key) = source("secretKeyRef") {
        check_key(&key, errors);
    }
    if let Some(key) = source("fileKeyRef") {
        check_file_key(&key, errors);
    }
    let complaint = match sources {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        _ if !variable.text("value").is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.invalid(&*from.path, "", complaint);
}

fn check_key(key: &At, errors: &mut FieldErrors) {
    key.child("name").format(errors, names::is_dns1123_subdomain(key.text("name")));
    let place = key.child("key");
    if place.is_empty() {
        place.required(errors, "");
    } else {
        place.format(errors, names::is_config_map_key(place.str()));
    }
}

fn check_file_key(key: &At, errors: &mut FieldErrors) {
    let (name, volume, path) = (key.child("key"), key.child("volumeName"), key.child("path"));
    if name.is_empty() {
        name.required(errors, "");
    } else {
        name.format(errors, names::is_relaxed_env_var_name(name.str()));
    }
    if volume.is_empty() {
        volume.required(errors, "");
    } else {
        volume.format(errors, names::is_dns1123_label(volume.str()));
    }
    if path.is_empty() {
        path.required(errors, "");
    } else {
        super::paths::check_no_backsteps(&path, errors);
    }
}

/// An `ObjectFieldSelector` that may name these fields, and any label or annotation.
pub fn check_field(field: &At, allowed: &[&str], errors: &mut FieldErrors) {
    let (version, path) = (field.child("apiVersion"), field.child("fieldPath"));
    for needed in [&version, &path] {
        if needed.is_empty() {
            return needed.required(errors, "");
        }
    }
    let unconvertible = |detail: String| format!("error converting fieldPath: {detail}");
    if version.str() != "v1" {
        return path.invalid_text(errors, unconvertible(format!("unsupported pod version: {}", version.str())));
    }
    match subscript(path.str()) {
        Some(("metadata.annotations", key)) => complain(field, &key.to_lowercase(), errors),
        Some(("metadata.labels", key)) => complain(field, key, errors),
        Some(_) => {
            path.invalid_text(errors, unconvertible(format!("field label does not support subscript: {}", path.str())))
        }
        None if !POD_FIELDS.contains(&path.str()) && path.str() != "spec.host" => {
            path.invalid_text(errors, unconvertible(format!("field label not supported: {}", path.str())));
        }
        None if !allowed.contains(&path.str()) => path.not_supported(errors, allowed),
        None => (),
    }
}

fn complain(field: &At, key: &str, errors: &mut FieldErrors) {
    for complaint in names::is_qualified_name(key) {
        errors.invalid(&*field.path, key, complaint);
    }
}

/// Takes `metadata.labels['key']` apart.
pub fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

/// A `ResourceFieldSelector`; in a volume the container has to be named.
pub fn check_resource_field(field: &At, in_volume: bool, errors: &mut FieldErrors) {
    let resource = field.child("resource");
    let name = resource.str();
    let huge = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if in_volume && field.text("containerName").is_empty() {
        field.child("containerName").required(errors, "");
    } else if name.is_empty() {
        resource.required(errors, "");
    } else if !CONTAINER_RESOURCES.contains(&name) && !huge {
        resource.not_supported(errors, CONTAINER_RESOURCES);
    }
    check_divisor(name, huge, &field.child("divisor"), errors);
}

fn check_divisor(resource: &str, huge: bool, divisor: &At, errors: &mut FieldErrors) {
    if amount(divisor.value).is_zero() {
        return;
    }
    let (allowed, of): (&[&str], &str) = match resource {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (DIVISORS, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (DIVISORS, "local ephemeral storage"),
        _ if huge => (DIVISORS, "hugepages"),
        _ => return,
    };
    if !allowed.contains(&divisor.str()) {
        let list = if of == "cpu" { "1m and 1".into() } else { allowed.join(", ") };
        let detail = format!("only divisor's values {list} are supported with the {of} resource");
        errors.invalid(&*divisor.path, resource, detail);
    }
}

pub fn check_env_from(list: &At, errors: &mut FieldErrors) {
    for source in list.items() {
        let prefix = source.child("prefix");
        if !prefix.is_empty() {
            prefix.format(errors, names::is_relaxed_env_var_name(prefix.str()));
        }
        let mut sources = 0;
        for kind in ["configMapRef", "secretRef"] {
            let reference = source.child(kind);
            if reference.exists() {
                sources += 1;
                let name = reference.child("name");
                if name.is_empty() {
                    name.required(errors, "");
                } else {
                    name.format(errors, names::dns1123_subdomain(name.str(), true));
                }
            }
        }
        match sources {
            0 => errors.invalid(&*list.path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => (),
            _ => errors.invalid(&*list.path, "", "may not have more than one field specified at a time"),
        }
    }
}
