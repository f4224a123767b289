//! Users, capabilities and profiles of a container: its own settings over its pod's.

use std::path::Path;

use k8s_cri::v1::{
    Capability, Image, Int64Value, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption, SecurityProfile,
    security_profile::ProfileType,
};

use crate::kubelet::spec::{Container, Pod, Profile};

const MASKED_PATHS: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The namespaces a pod's processes share. `target_id` is the container an ephemeral one joins.
pub fn namespaces(pod: &Pod, target_id: Option<&str>) -> NamespaceOption {
    let pod_or_node = |on_node: bool| if on_node { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = match (target_id, pod.spec.host_pid, pod.spec.share_process_namespace) {
        (Some(_), ..) => NamespaceMode::Target,
        (_, true, _) => NamespaceMode::Node,
        (_, _, true) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: pod_or_node(pod.spec.host_network).into(),
        ipc: pod_or_node(pod.spec.host_ipc).into(),
        pid: pid.into(),
        target_id: target_id.unwrap_or_default().into(),
        userns_options: None,
    }
}

pub fn of_container(
    pod: &Pod,
    container: &Container,
    image: &Image,
    seccomp_dir: &Path,
    target_id: Option<&str>,
) -> LinuxContainerSecurityContext {
    let own = &container.security_context;
    let of_pod = &pod.spec.security_context;
    let is_unmasked = own.proc_mount.as_deref() == Some("Unmasked");
    let paths = |list: &[&str]| match is_unmasked || own.privileged {
        true => Vec::new(),
        false => list.iter().map(|path| (*path).to_owned()).collect(),
    };
    let user = own.run_as_user.or(of_pod.run_as_user);
    let mut context = LinuxContainerSecurityContext {
        capabilities: Some(Capability {
            add_capabilities: own.capabilities.add.clone(),
            drop_capabilities: own.capabilities.drop.clone(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged: own.privileged,
        namespace_options: Some(namespaces(pod, target_id)),
        run_as_user: user.or(image.uid.as_ref().map(|uid| uid.value)).map(|value| Int64Value { value }),
        run_as_group: own.run_as_group.or(of_pod.run_as_group).map(|value| Int64Value { value }),
        readonly_rootfs: own.read_only_root_filesystem,
        supplemental_groups: groups(pod),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(MASKED_PATHS),
        readonly_paths: paths(READONLY_PATHS),
        seccomp: Some(seccomp(pod, container, seccomp_dir)),
        apparmor: apparmor(pod, container),
        ..Default::default()
    };
    if user.is_none() && image.uid.is_none() {
        context.run_as_username = image.username.clone();
    }
    // A group alone is refused by the runtime: it needs a user beside it.
    if context.run_as_group.is_some() && context.run_as_user.is_none() && context.run_as_username.is_empty() {
        context.run_as_user = Some(Int64Value { value: 0 });
    }
    context
}

/// Groups every process of the pod is in: those asked for, and that of its volumes.
pub fn groups(pod: &Pod) -> Vec<i64> {
    let security = &pod.spec.security_context;
    security.supplemental_groups.iter().copied().chain(security.fs_group).collect()
}

fn seccomp(pod: &Pod, container: &Container, dir: &Path) -> SecurityProfile {
    let own = container.security_context.seccomp_profile.as_ref();
    let chosen = own.or(pod.spec.security_context.seccomp_profile.as_ref());
    match chosen {
        _ if container.security_context.privileged => unconfined(),
        Some(profile) => of_profile(profile, |name| dir.join(name).to_string_lossy().into_owned()),
        None => unconfined(),
    }
}

fn apparmor(pod: &Pod, container: &Container) -> Option<SecurityProfile> {
    let own = container.security_context.app_armor_profile.as_ref();
    let chosen = own.or(pod.spec.security_context.app_armor_profile.as_ref())?;
    Some(of_profile(chosen, str::to_owned))
}

fn unconfined() -> SecurityProfile {
    SecurityProfile { profile_type: ProfileType::Unconfined.into(), localhost_ref: String::new() }
}

/// The profile of a sandbox: that of its pod.
pub fn of_sandbox(pod: &Pod, dir: &Path) -> SecurityProfile {
    match &pod.spec.security_context.seccomp_profile {
        Some(profile) => of_profile(profile, |name| dir.join(name).to_string_lossy().into_owned()),
        None => SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), localhost_ref: String::new() },
    }
}

fn of_profile(profile: &Profile, locate: impl Fn(&str) -> String) -> SecurityProfile {
    match profile.r#type.as_str() {
        "RuntimeDefault" => {
            SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), localhost_ref: String::new() }
        }
        "Localhost" => SecurityProfile {
            profile_type: ProfileType::Localhost.into(),
            localhost_ref: locate(&profile.localhost_profile),
        },
        _ => unconfined(),
    }
}

/// Why a container that must not run as root would, or might.
pub fn root_complaint(pod: &Pod, container: &Container, image: &Image) -> Option<String> {
    let own = &container.security_context;
    let of_pod = &pod.spec.security_context;
    if own.run_as_non_root.or(of_pod.run_as_non_root) != Some(true) {
        return None;
    }
    let place = format!("(pod: {:?}, container: {})", pod.display(), container.name);
    match (own.run_as_user.or(of_pod.run_as_user), &image.uid, image.username.as_str()) {
        (Some(0), ..) => Some(format!("container's runAsUser breaks non-root policy {place}")),
        (Some(_), ..) => None,
        (None, Some(uid), _) if uid.value == 0 => {
            Some(format!("container has runAsNonRoot and image will run as root {place}"))
        }
        (None, Some(_), _) => None,
        (None, None, "") => Some(format!("container has runAsNonRoot and image will run as root {place}")),
        (None, None, name) => Some(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {place}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn complaint(security: serde_json::Value, image: Image) -> Option<String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
            "spec": {"containers": [{"name": "c", "securityContext": security}]}
        }))
        .unwrap();
        root_complaint(&pod, &pod.spec.containers[0], &image)
    }

    #[test]
    fn root_is_refused_where_it_was_ruled_out() {
        let root = || Image { uid: Some(Int64Value { value: 0 }), ..Default::default() };
        assert_eq!(complaint(json!({}), root()), None);
        assert_eq!(complaint(json!({"runAsNonRoot": true, "runAsUser": 7}), root()), None);
        assert_eq!(
            complaint(json!({"runAsNonRoot": true}), root()).unwrap(),
            "container has runAsNonRoot and image will run as root (pod: \"p_ns(u)\", container: c)"
        );
        let named = Image { username: "app".into(), ..Default::default() };
        assert!(complaint(json!({"runAsNonRoot": true}), named).unwrap().contains("non-numeric user (app)"));
    }
}
