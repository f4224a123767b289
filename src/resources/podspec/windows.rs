//! What only Windows pods may have, and what they may not.

use crate::object::field::FieldErrors;
use crate::resources::check::At;
use crate::resources::names;

use super::each_container;

pub fn check_options(options: &At, errors: &mut FieldErrors) {
    if !options.exists() {
        return;
    }
    let (name, spec, user) =
        (options.child("gmsaCredentialSpecName"), options.child("gmsaCredentialSpec"), options.child("runAsUserName"));
    if name.exists() {
        name.format(errors, names::is_dns1123_subdomain(name.str()));
    }
    if spec.exists() && spec.is_empty() {
        spec.invalid(errors, "gmsaCredentialSpec cannot be an empty string");
    } else if spec.len() > 64 << 10 {
        spec.invalid(errors, "gmsaCredentialSpec size must be under 64 KiB");
    }
    if user.exists() {
        user_complaints(user.str()).into_iter().for_each(|complaint| user.invalid(errors, complaint));
    }
}

fn user_complaints(text: &str) -> Vec<&'static str> {
    if text.is_empty() {
        return vec!["runAsUserName cannot be an empty string"];
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters"];
    }
    let (domain, user) = match text.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec!["runAsUserName cannot contain more than one backslash"],
    };
    let mut complaints = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= 256) {
        complaints.push("runAsUserName's Domain length must be under 256 characters");
    }
    if domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain)) {
        complaints.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        complaints.push("runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        complaints.push("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        complaints.push("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        complaints.push("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
    complaints
}

fn is_net_bios(domain: &str) -> bool {
    let count = domain.chars().count();
    (1..=15).contains(&count) && !domain.starts_with('.') && !domain.contains(|c| "\\/:*?\"<>|".contains(c))
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| names::is_dns1123_label(&label.to_lowercase()).is_empty())
}

/// A pod whose `os` is `linux`.
pub fn check_linux(spec: &At, errors: &mut FieldErrors) {
    const DETAIL: &str = "windows options cannot be set for a linux pod";
    let own = spec.child("securityContext.windowsOptions");
    if own.exists() {
        own.forbidden(errors, DETAIL);
    }
    for container in each_container(spec) {
        let options = container.child("securityContext.windowsOptions");
        if options.exists() {
            options.forbidden(errors, DETAIL);
        }
    }
}

/// A pod whose `os` is `windows`.
pub fn check_windows(spec: &At, errors: &mut FieldErrors) {
    const POD: &[&str] = &[
        "securityContext.appArmorProfile",
        "securityContext.seLinuxOptions",
        "hostUsers",
        "hostPID",
        "hostIPC",
        "securityContext.seccompProfile",
        "securityContext.fsGroup",
        "securityContext.fsGroupChangePolicy",
        "securityContext.sysctls",
        "shareProcessNamespace",
        "securityContext.runAsUser",
        "securityContext.runAsGroup",
        "securityContext.supplementalGroups",
        "securityContext.supplementalGroupsPolicy",
        "securityContext.seLinuxChangePolicy",
    ];
    const CONTAINER: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let refuse = |around: &At, field: &str, errors: &mut FieldErrors| {
        let unset_flag = field.ends_with("hostPID") || field.ends_with("hostIPC");
        let place = around.child(field);
        if place.exists() && (!unset_flag || place.flag()) {
            place.forbidden(errors, "cannot be set for a windows pod");
        }
    };
    POD.iter().for_each(|field| refuse(spec, field, errors));
    for container in each_container(spec) {
        let context = container.child("securityContext");
        CONTAINER.iter().for_each(|field| refuse(&context, field, errors));
    }
}

/// Host-process containers: all or none of a pod's, and only with the host's network.
pub fn check_host_process(spec: &At, errors: &mut FieldErrors) {
    let flag = |place: &At| place.child("securityContext.windowsOptions.hostProcess").value.as_bool();
    let of_pod = flag(spec);
    let (mut all, mut host) = (0, 0);
    for container in each_container(spec) {
        let own = flag(&container);
        all += 1;
        host += usize::from(own.or(of_pod) == Some(true));
        if let (Some(pod), Some(own)) = (of_pod, own)
            && pod != own
        {
            let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            container.child("securityContext.windowsOptions.hostProcess").invalid(errors, detail);
        }
    }
    if host == 0 {
        return;
    }
    if host != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.invalid(&*spec.path, "", detail);
    }
    if !spec.child("hostNetwork").flag() {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.invalid(spec.path_to("hostNetwork"), false, detail);
    }
}
