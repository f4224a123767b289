//! The baseline: nothing that is known to lead out of the container.

use super::subject::{Found, Subject, Values, containers, found, plural, quoted, setters};
use crate::object::tree::{Tree, TreePath};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// The last one came later.
pub const SE_LINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
/// In the order in which they were allowed.
pub const SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn texts<'t>(tree: &'t Tree, path: &str) -> impl Iterator<Item = &'t str> {
    tree.items(path).iter().filter_map(Tree::as_str)
}

pub fn app_armor_profile(pod: &Subject<'_>) -> Option<Found> {
    let mut values = Values::new();
    let mut is_bad = |tree: &Tree, path: &str| {
        let kind = tree.text(path);
        let bad = tree.has(path) && !matches!(kind, "RuntimeDefault" | "Localhost");
        if bad {
            values.insert(kind.into());
        }
        bad
    };
    let of_pod = is_bad(pod.pod, "spec.securityContext.appArmorProfile.type");
    let names = pod.bad(|container| is_bad(container, "securityContext.appArmorProfile.type"));
    let allowed = |value: &str| matches!(value, "" | "runtime/default") || value.starts_with("localhost/");
    let mut annotations: Vec<String> = pod
        .annotations()
        .filter(|(name, value)| name.starts_with(APP_ARMOR) && !allowed(value))
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    annotations.sort();
    let mut who: Vec<String> = setters(of_pod, &names).into_iter().collect();
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).into());
    }
    let values: Vec<String> = values.into_iter().chain(annotations).collect();
    if who.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    found(reason, format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values)))
}

pub fn capabilities(pod: &Subject<'_>) -> Option<Found> {
    let mut added = Values::new();
    let names = pod.bad(|container| {
        let bad: Vec<&str> =
            texts(container, "securityContext.capabilities.add").filter(|one| !CAPABILITIES.contains(one)).collect();
        added.extend(bad.iter().map(ToString::to_string));
        !bad.is_empty()
    });
    if names.is_empty() {
        return None;
    }
    let (who, what) = (containers(&names), quoted(added));
    found("non-default capabilities", format!("{who} must not include {what} in securityContext.capabilities.add"))
}

pub fn host_namespaces(pod: &Subject<'_>) -> Option<Found> {
    let set = |name: &&&str| pod.pod.flag(&format!("spec.{name}")) == Some(true);
    let all = ["hostNetwork", "hostPID", "hostIPC"];
    let shared: Vec<String> = all.iter().filter(set).map(|name| format!("{name}=true")).collect();
    if shared.is_empty() { None } else { found("host namespaces", shared.join(", ")) }
}

pub fn host_path_volumes(pod: &Subject<'_>) -> Option<Found> {
    let volumes = pod.pod.items("spec.volumes").iter().filter(|volume| volume.has("hostPath"));
    let names: Vec<&str> = volumes.map(|volume| volume.text("name")).collect();
    if names.is_empty() {
        return None;
    }
    found("hostPath volumes", format!("{} {}", plural("volume", "volumes", names.len()), quoted(names)))
}

pub fn host_ports(pod: &Subject<'_>) -> Option<Found> {
    let mut ports = Values::new();
    let names = pod.bad(|container| {
        let own = container.items("ports").iter().filter_map(|port| port.int("hostPort")).filter(|port| *port != 0);
        let own: Vec<String> = own.map(|port| port.to_string()).collect();
        ports.extend(own.iter().cloned());
        !own.is_empty()
    });
    if names.is_empty() {
        return None;
    }
    let (uses, what) = (plural("uses", "use", names.len()), plural("hostPort", "hostPorts", ports.len()));
    let ports: Vec<String> = ports.into_iter().collect();
    found("hostPort", format!("{} {uses} {what} {}", containers(&names), ports.join(", ")))
}

pub fn probe_hosts(pod: &Subject<'_>) -> Option<Found> {
    const HANDLERS: &[&str] =
        &["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
    let mut hosts = Values::new();
    let mut names = pod.bad(|container| {
        let places =
            HANDLERS.iter().flat_map(|handler| ["httpGet", "tcpSocket"].map(|how| format!("{handler}.{how}.host")));
        let own: Vec<String> =
            places.map(|place| container.text(&place).to_owned()).filter(|h| !h.is_empty()).collect();
        hosts.extend(own.iter().cloned());
        !own.is_empty()
    });
    if names.is_empty() {
        return None;
    }
    names.sort_unstable();
    names.dedup();
    let uses = plural("uses", "use", names.len());
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    found("probe or lifecycle host", format!("{} {uses} {what} {}", containers(&names), quoted(hosts)))
}

pub fn privileged(pod: &Subject<'_>) -> Option<Found> {
    let names = pod.bad(|container| container.flag("securityContext.privileged") == Some(true));
    if names.is_empty() {
        return None;
    }
    found("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
}

pub fn proc_mount(pod: &Subject<'_>) -> Option<Found> {
    let mut kinds = Values::new();
    let names = pod.bad(|container| {
        let kind = container.text("securityContext.procMount");
        let bad = container.has("securityContext.procMount") && kind != "Default";
        if bad {
            kinds.insert(kind.into());
        }
        bad
    });
    if names.is_empty() {
        return None;
    }
    found("procMount", format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(kinds)))
}

pub fn se_linux_options(pod: &Subject<'_>, types: &[&str]) -> Option<Found> {
    let (mut kinds, mut user, mut role) = (Values::new(), false, false);
    let mut is_bad = |options: Option<&Tree>| {
        let Some(options) = options else { return false };
        let kind = options.text("type");
        let bad_kind = !types.contains(&kind);
        if bad_kind {
            kinds.insert(kind.into());
        }
        let (has_user, has_role) = (!options.text("user").is_empty(), !options.text("role").is_empty());
        user |= has_user;
        role |= has_role;
        bad_kind || has_user || has_role
    };
    let of_pod = is_bad(pod.pod.at("spec.securityContext.seLinuxOptions"));
    let names = pod.bad(|container| is_bad(container.at("securityContext.seLinuxOptions")));
    let who = setters(of_pod, &names)?;
    let mut told = Vec::new();
    if !kinds.is_empty() {
        told.push(format!("{} {}", plural("type", "types", kinds.len()), quoted(kinds)));
    }
    told.extend(user.then(|| "user may not be set".to_owned()));
    told.extend(role.then(|| "role may not be set".to_owned()));
    found("seLinuxOptions", format!("{who} set forbidden securityContext.seLinuxOptions: {}", told.join("; ")))
}

pub fn seccomp_annotations(pod: &Subject<'_>) -> Option<Found> {
    let allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let names: Vec<String> =
        pod.containers().map(|container| format!("{SECCOMP_CONTAINER}{}", container.text("name"))).collect();
    let bad: Values = pod
        .annotations()
        .filter(|(name, value)| (*name == SECCOMP_POD || names.iter().any(|other| other == name)) && !allowed(value))
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    if bad.is_empty() {
        return None;
    }
    let what = plural("annotation", "annotations", bad.len());
    found("seccompProfile", format!("forbidden {what} {}", bad.into_iter().collect::<Vec<_>>().join(", ")))
}

/// Whether a profile that is set may be used.
pub fn is_seccomp(kind: &str) -> bool {
    matches!(kind, "Localhost" | "RuntimeDefault")
}

pub fn seccomp_profile(pod: &Subject<'_>) -> Option<Found> {
    let mut kinds = Values::new();
    let mut is_bad = |tree: &Tree, path: &str| {
        let bad = tree.has(path) && !is_seccomp(tree.text(path));
        if bad {
            kinds.insert(tree.text(path).into());
        }
        bad
    };
    let of_pod = is_bad(pod.pod, "spec.securityContext.seccompProfile.type");
    let names = pod.bad(|container| is_bad(container, "securityContext.seccompProfile.type"));
    let who = setters(of_pod, &names)?;
    found("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(kinds)))
}

pub fn sysctls(pod: &Subject<'_>, allowed: &[&str]) -> Option<Found> {
    let all = pod.pod.items("spec.securityContext.sysctls").iter().map(|sysctl| sysctl.text("name"));
    let bad: Vec<&str> = all.filter(|name| !allowed.contains(name)).collect();
    if bad.is_empty() { None } else { found("forbidden sysctls", bad.join(", ")) }
}

pub fn windows_host_process(pod: &Subject<'_>) -> Option<Found> {
    let path = "securityContext.windowsOptions.hostProcess";
    let of_pod = pod.pod.flag(&format!("spec.{path}")) == Some(true);
    let who = setters(of_pod, &pod.bad(|container| container.flag(path) == Some(true)))?;
    found("hostProcess", format!("{who} must not set {path}=true"))
}
