//! The table of checks: from which version on each holds, and what it stands in for.

use super::policy::{Level, Standard};
use super::subject::{Found, Subject};
use super::{baseline as b, restricted as r};

type Check = fn(&Subject<'_>) -> Option<Found>;

/// One check as of a version.
struct Row {
    id: &'static str,
    level: Level,
    /// The first minor version that it holds for; a later row of the same id takes over.
    from: u32,
    /// The baseline check that it stands in for at the restricted level.
    instead_of: &'static str,
    check: Check,
}

const fn baseline(id: &'static str, from: u32, check: Check) -> Row {
    Row { id, level: Level::Baseline, from, instead_of: "", check }
}

const fn restricted(id: &'static str, from: u32, instead_of: &'static str, check: Check) -> Row {
    Row { id, level: Level::Restricted, from, instead_of, check }
}

/// In the order in which violations are told.
const CHECKS: &[Row] = &[
    baseline("appArmorProfile", 0, b::app_armor_profile),
    baseline("capabilities_baseline", 0, b::capabilities),
    baseline("hostNamespaces", 0, b::host_namespaces),
    baseline("hostPathVolumes", 0, b::host_path_volumes),
    baseline("hostPorts", 0, b::host_ports),
    baseline("hostProbesAndHostLifecycle", 34, b::probe_hosts),
    baseline("privileged", 0, b::privileged),
    baseline("procMount", 0, b::proc_mount),
    baseline("procMount", 35, |pod| if pod.has_own_users() { None } else { b::proc_mount(pod) }),
    baseline("seLinuxOptions", 0, |pod| b::se_linux_options(pod, &b::SE_LINUX_TYPES[..4])),
    baseline("seLinuxOptions", 31, |pod| b::se_linux_options(pod, b::SE_LINUX_TYPES)),
    baseline("seccompProfile_baseline", 0, b::seccomp_annotations),
    baseline("seccompProfile_baseline", 19, b::seccomp_profile),
    baseline("sysctls", 0, |pod| b::sysctls(pod, &b::SYSCTLS[..5])),
    baseline("sysctls", 27, |pod| b::sysctls(pod, &b::SYSCTLS[..6])),
    baseline("sysctls", 29, |pod| b::sysctls(pod, &b::SYSCTLS[..10])),
    baseline("sysctls", 32, |pod| b::sysctls(pod, b::SYSCTLS)),
    baseline("windowsHostProcess", 0, b::windows_host_process),
    restricted("allowPrivilegeEscalation", 8, "", r::allow_privilege_escalation),
    restricted("allowPrivilegeEscalation", 25, "", |pod| unless_windows(pod, r::allow_privilege_escalation)),
    restricted("capabilities_restricted", 22, "capabilities_baseline", r::capabilities),
    restricted("capabilities_restricted", 25, "capabilities_baseline", |pod| unless_windows(pod, r::capabilities)),
    restricted("procMount_restricted", 35, "procMount", b::proc_mount),
    restricted("restrictedVolumes", 0, "hostPathVolumes", r::volumes),
    restricted("runAsNonRoot", 0, "", r::run_as_non_root),
    restricted("runAsNonRoot", 35, "", |pod| if pod.has_own_users() { None } else { r::run_as_non_root(pod) }),
    restricted("runAsUser", 23, "", r::run_as_user),
    restricted("runAsUser", 35, "", |pod| if pod.has_own_users() { None } else { r::run_as_user(pod) }),
    restricted("seccompProfile_restricted", 19, "seccompProfile_baseline", r::seccomp_profile),
    restricted("seccompProfile_restricted", 25, "seccompProfile_baseline", |pod| {
        unless_windows(pod, r::seccomp_profile)
    }),
];

fn unless_windows(pod: &Subject<'_>, check: Check) -> Option<Found> {
    if pod.is_windows() { None } else { check(pod) }
}

/// Everything that a pod does against a standard.
#[derive(Debug)]
pub struct Violations {
    pub reasons: String,
    /// The reasons, each with who does what.
    pub details: String,
}

/// None if the pod is as the standard wants it.
pub fn violations(standard: &Standard, pod: &Subject<'_>) -> Option<Violations> {
    let found: Vec<Found> = rows(standard).iter().filter_map(|row| (row.check)(pod)).collect();
    let detail = |found: &Found| match found.detail.as_str() {
        "" => found.reason.clone(),
        detail => format!("{} ({detail})", found.reason),
    };
    let joined = |shown: &dyn Fn(&Found) -> String| found.iter().map(shown).collect::<Vec<_>>().join(", ");
    (!found.is_empty()).then(|| Violations { reasons: joined(&|found| found.reason.clone()), details: joined(&detail) })
}

fn rows(standard: &Standard) -> Vec<&'static Row> {
    let version = standard.version.unwrap_or(u32::MAX);
    let holds = |row: &&Row| row.level <= standard.level && row.from <= version;
    let is_newest =
        |row: &&Row| !CHECKS.iter().any(|other| other.id == row.id && other.from > row.from && holds(&other));
    let held: Vec<&Row> = CHECKS.iter().filter(holds).filter(is_newest).collect();
    let replaced: Vec<&str> = held.iter().map(|row| row.instead_of).collect();
    held.into_iter().filter(|row| !replaced.contains(&row.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::{Tree, json};

    fn told(level: Level, version: Option<u32>, pod: &Tree) -> String {
        violations(&Standard { level, version }, &Subject::of(pod)).map_or(String::new(), |found| found.details)
    }

    #[test]
    fn plain_pods_pass_the_baseline_and_are_told_what_restricted_wants() {
        let pod = json!({"spec": {"containers": [{"name": "c"}]}});
        assert_eq!(told(Level::Baseline, None, &pod), "");
        assert_eq!(
            told(Level::Restricted, None, &pod),
            "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
             unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
             runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
             seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        );
    }

    #[test]
    fn restricted_checks_stand_in_for_those_of_the_baseline() {
        let pod = json!({"spec": {"containers": [], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}});
        assert_eq!(told(Level::Baseline, None, &pod), "hostPath volumes (volume \"v\")");
        let restricted = "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")";
        assert_eq!(told(Level::Restricted, None, &pod), restricted);
    }

    #[test]
    fn older_versions_ask_for_less() {
        let pod = json!({"spec": {"containers": [], "securityContext": {
            "runAsUser": 0, "sysctls": [{"name": "net.ipv4.tcp_rmem"}],
        }}});
        assert_eq!(told(Level::Baseline, Some(31), &pod), "forbidden sysctls (net.ipv4.tcp_rmem)");
        assert_eq!(told(Level::Baseline, Some(32), &pod), "");
        assert!(told(Level::Restricted, None, &pod).contains("pod must not set runAsUser=0"));
        assert!(!told(Level::Restricted, Some(22), &pod).contains("runAsUser"));
    }
}
