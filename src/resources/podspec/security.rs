//! Security contexts of pods and containers.

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::names;

use super::paths::check_descending;
use super::windows;

pub fn check_pod(context: &At, spec: &At, errors: &mut FieldErrors) {
    if !context.exists() {
        return;
    }
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        check_id(&context.child(field), errors);
    }
    context.child("supplementalGroups").items().for_each(|group| check_id(&group, errors));
    // Upstream keeps this field in its inner security context, and names it there.
    if spec.child("shareProcessNamespace").flag() && spec.child("hostPID").flag() {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(context.path_to("shareProcessNamespace"), true, detail);
    }
    check_sysctls(context, spec, errors);
    one_of(&context.child("fsGroupChangePolicy"), &["Always", "OnRootMismatch"], errors);
    check_seccomp(&context.child("seccompProfile"), errors);
    windows::check_options(&context.child("windowsOptions"), errors);
    check_app_armor(&context.child("appArmorProfile"), errors);
    one_of(&context.child("supplementalGroupsPolicy"), &["Merge", "Strict"], errors);
    one_of(&context.child("seLinuxChangePolicy"), &["Recursive"], errors);
}

/// `host_users`: whether the pod runs in the host's user namespace.
pub fn check_container(context: &At, host_users: bool, errors: &mut FieldErrors) {
    if !context.exists() {
        return;
    }
    for field in ["runAsUser", "runAsGroup"] {
        check_id(&context.child(field), errors);
    }
    let proc_mount = context.child("procMount");
    one_of(&proc_mount, &["Default", "Unmasked"], errors);
    if host_users && proc_mount.str() == "Unmasked" {
        proc_mount.invalid(errors, "`hostUsers` must be false to use `Unmasked`");
    }
    check_seccomp(&context.child("seccompProfile"), errors);
    if context.child("allowPrivilegeEscalation").value == &Tree::Bool(false) {
        let refuse = |what: &str, errors: &mut FieldErrors| {
            let detail = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
            errors.invalid_shown(&*context.path, &inner_context(context.value), detail);
        };
        if context.child("privileged").flag() {
            refuse("`privileged` to true", errors);
        }
        if context.child("capabilities.add").items().any(|cap| cap.str() == "CAP_SYS_ADMIN") {
            refuse("`capabilities.Add` CAP_SYS_ADMIN", errors);
        }
    }
    windows::check_options(&context.child("windowsOptions"), errors);
    check_app_armor(&context.child("appArmorProfile"), errors);
}

fn check_id(id: &At, errors: &mut FieldErrors) {
    if let Some(number) = id.int() {
        id.number_format(errors, names::is_id(number));
    }
}

fn one_of(place: &At, supported: &[&str], errors: &mut FieldErrors) {
    if place.exists() && !supported.contains(&place.str()) {
        place.not_supported(errors, supported);
    }
}

fn check_sysctls(context: &At, spec: &At, errors: &mut FieldErrors) {
    const FORM: &str = r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let mut seen = BTreeSet::new();
    for sysctl in context.child("sysctls").items() {
        let name = sysctl.child("name");
        if name.is_empty() {
            name.required(errors, "");
        } else if !is_sysctl_name(name.str()) {
            name.invalid(errors, FORM);
        } else if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
        let plain = name.str().replace('/', ".");
        if spec.child("hostNetwork").flag() && plain.starts_with("net.") {
            name.invalid(errors, "may not be specified when 'hostNetwork' is true");
        } else if spec.child("hostIPC").flag() && is_ipc_sysctl(&plain) {
            name.invalid(errors, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_sysctl_name(name: &str) -> bool {
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let segment = |segment: &str| {
        segment.starts_with(outer)
            && segment.ends_with(outer)
            && segment.chars().all(|c| outer(c) || c == '-' || c == '_')
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}

fn is_ipc_sysctl(name: &str) -> bool {
    ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix)) || name == "kernel.sem"
}

fn check_seccomp(profile: &At, errors: &mut FieldErrors) {
    if !profile.exists() {
        return;
    }
    let (kind, local) = (profile.child("type"), profile.child("localhostProfile"));
    match kind.str() {
        "Localhost" | "RuntimeDefault" | "Unconfined" => (),
        "" => kind.required(errors, "type is required when seccompProfile is set"),
        _ => kind.not_supported(errors, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
    match (kind.str() == "Localhost", local.exists()) {
        (true, true) => check_descending(&local, errors),
        (true, false) => local.required(errors, "must be set when seccomp type is Localhost"),
        (false, true) => {
            let shown = format!("{{\"Type\":{:?},\"LocalhostProfile\":{:?}}}", kind.str(), local.str());
            errors.invalid_shown(&*local.path, &shown, "can only be set when seccomp type is Localhost");
        }
        (false, false) => (),
    }
}

fn check_app_armor(profile: &At, errors: &mut FieldErrors) {
    if !profile.exists() {
        return;
    }
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    let (kind, local) = (profile.child("type"), profile.child("localhostProfile"));
    match kind.str() {
        "Localhost" if !local.exists() => local.required(errors, MISSING),
        "Localhost" => {
            if local.str().trim() != local.str() {
                local.invalid(errors, "must not be padded with whitespace");
            } else if local.is_empty() {
                local.required(errors, MISSING);
            }
            if local.len() > 4095 {
                errors.too_long(&*local.path, 4095);
            }
        }
        "RuntimeDefault" | "Unconfined" if local.exists() => {
            local.invalid(errors, "can only be set when AppArmor type is Localhost");
        }
        "RuntimeDefault" | "Unconfined" => (),
        "" => kind.required(errors, "type is required when appArmorProfile is set"),
        _ => kind.not_supported(errors, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

/// A container's security context as upstream shows its inner form.
fn inner_context(context: &Tree) -> String {
    const FIELDS: &[&str] = &[
        "capabilities",
        "privileged",
        "seLinuxOptions",
        "windowsOptions",
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "readOnlyRootFilesystem",
        "allowPrivilegeEscalation",
        "procMount",
        "seccompProfile",
        "appArmorProfile",
    ];
    let entry = |field: &&str| {
        let value = context.at(field).cloned().unwrap_or_default();
        format!("{:?}:{}", upper(field), go_names(value))
    };
    let entries: Vec<String> = FIELDS.iter().map(entry).collect();
    format!("{{{}}}", entries.join(","))
}

/// A field's name in Go.
fn upper(field: &str) -> String {
    match field.strip_prefix("seLinux") {
        Some(rest) => format!("SELinux{rest}"),
        None => field[..1].to_uppercase() + &field[1..],
    }
}

fn go_names(value: Tree) -> Tree {
    match value {
        Tree::Object(map) => Tree::Object(map.into_iter().map(|(key, value)| (upper(&key), go_names(value))).collect()),
        other => other,
    }
}
