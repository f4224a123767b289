//! The restricted level: what a careful author would write anyway.

use super::baseline::is_seccomp;
use super::subject::{Found, Subject, Values, containers, found, plural, quoted, setters};
use crate::object::tree::{Tree, TreePath};

const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub fn allow_privilege_escalation(pod: &Subject<'_>) -> Option<Found> {
    let path = "securityContext.allowPrivilegeEscalation";
    let names = pod.bad(|container| container.flag(path) != Some(false));
    if names.is_empty() {
        return None;
    }
    found("allowPrivilegeEscalation != false", format!("{} must set {path}=false", containers(&names)))
}

pub fn capabilities(pod: &Subject<'_>) -> Option<Found> {
    let list = |container: &Tree, what: &str| -> Vec<String> {
        let names = container.items(&format!("securityContext.capabilities.{what}"));
        names.iter().filter_map(Tree::as_str).map(str::to_owned).collect()
    };
    let keeping = pod.bad(|container| !list(container, "drop").iter().any(|one| one == "ALL"));
    let mut added = Values::new();
    let adding = pod.bad(|container| {
        let bad: Vec<String> = list(container, "add").into_iter().filter(|one| one != "NET_BIND_SERVICE").collect();
        added.extend(bad.iter().cloned());
        !bad.is_empty()
    });
    let mut told = Vec::new();
    if !keeping.is_empty() {
        told.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        let (who, what) = (containers(&adding), quoted(added));
        told.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    if told.is_empty() { None } else { found("unrestricted capabilities", told.join("; ")) }
}

pub fn volumes(pod: &Subject<'_>) -> Option<Found> {
    let is_bad = |volume: &&Tree| !VOLUMES.iter().any(|kind| volume.has(kind));
    let bad: Vec<&Tree> = pod.pod.items("spec.volumes").iter().filter(is_bad).collect();
    if bad.is_empty() {
        return None;
    }
    let kind = |volume: &Tree| {
        let mut kinds = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        kinds.find(|key| *key != "name").unwrap_or("unknown").to_owned()
    };
    let kinds: Values = bad.iter().map(|volume| kind(volume)).collect();
    let who =
        format!("{} {}", plural("volume", "volumes", bad.len()), quoted(bad.iter().map(|volume| volume.text("name"))));
    let uses = plural("uses", "use", bad.len());
    let what = plural("restricted volume type", "restricted volume types", kinds.len());
    found("restricted volume types", format!("{who} {uses} {what} {}", quoted(kinds)))
}

pub fn run_as_non_root(pod: &Subject<'_>) -> Option<Found> {
    const REASON: &str = "runAsNonRoot != true";
    let of_pod = pod.pod.flag("spec.securityContext.runAsNonRoot");
    let of = |container: &Tree| container.flag("securityContext.runAsNonRoot");
    let explicit = pod.bad(|container| of(container) == Some(false));
    if let Some(who) = setters(of_pod == Some(false), &explicit) {
        return found(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = pod.bad(|container| of(container).is_none() && of_pod != Some(true));
    if silent.is_empty() {
        return None;
    }
    found(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)))
}

pub fn run_as_user(pod: &Subject<'_>) -> Option<Found> {
    let of_pod = pod.pod.int("spec.securityContext.runAsUser") == Some(0);
    let who = setters(of_pod, &pod.bad(|container| container.int("securityContext.runAsUser") == Some(0)))?;
    found("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub fn seccomp_profile(pod: &Subject<'_>) -> Option<Found> {
    if let Some(bad) = super::baseline::seccomp_profile(pod) {
        return Some(bad);
    }
    let is_set = is_seccomp(pod.pod.text("spec.securityContext.seccompProfile.type"));
    let silent = pod.bad(|container| !is_set && !container.has("securityContext.seccompProfile"));
    if silent.is_empty() {
        return None;
    }
    found(
        "seccompProfile",
        format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            containers(&silent)
        ),
    )
}
