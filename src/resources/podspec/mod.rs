//! The spec of a pod, wherever it stands: in a pod, or in the template of a workload.

pub mod affinity;
pub mod annotations;
pub mod containers;
pub mod defaults;
pub mod env;
pub mod paths;
pub mod probes;
pub mod projected;
pub mod resize;
pub mod security;
pub mod template;
pub mod update;
pub mod volumes;
pub mod warnings;
pub mod windows;

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::sums;
use crate::object::tree::{Tree, TreePath};

use super::check::At;
use super::{ip, labels, names, quantities};
use containers::Around;
use probes::Pod;

/// Every container, in the order that upstream visits them: init, main, ephemeral.
pub fn each_container<'t>(spec: &At<'t>) -> impl Iterator<Item = At<'t>> + use<'t> {
    let lists = ["initContainers", "containers", "ephemeralContainers"].map(|list| spec.child(list));
    lists.into_iter().flat_map(|list| list.items().collect::<Vec<_>>())
}

/// Checks a pod spec. `meta` is the pod's own metadata; a template's pods are not named yet.
pub fn check(spec: &At, meta: &Tree, is_pod: bool, errors: &mut FieldErrors) {
    let grace = spec.child("terminationGracePeriodSeconds");
    if !grace.exists() {
        grace.required(errors, "");
    }
    let sources = volumes::check_volumes(&spec.child("volumes"), if is_pod { meta.text("name") } else { "" }, errors);
    let claims: BTreeSet<&str> =
        spec.child("resourceClaims").items().map(|c| c.text("name")).filter(|name| !name.is_empty()).collect();
    check_claims(&spec.child("resourceClaims"), errors);
    let around = Around {
        volumes: &sources,
        claims: &claims,
        pod: Pod { grace_period: grace.int(), os: spec.value.at("os.name").and_then(Tree::as_str) },
        restart_policy: spec.text("restartPolicy"),
        host_users: spec.value.flag("hostUsers") != Some(false),
    };
    let main = spec.child("containers");
    containers::check_main(&main, &around, errors);
    containers::check_init(&spec.child("initContainers"), &main, &around, errors);
    containers::check_ephemeral(&spec.child("ephemeralContainers"), spec, &around, errors);
    check_pod_resources(spec, &claims, errors);
    check_host_network(spec, is_pod, errors);
    spec.child("restartPolicy").one_of(errors, &["Always", "OnFailure", "Never"]);
    spec.child("dnsPolicy").one_of(errors, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    labels::check_labels(&spec.child("nodeSelector"), errors);
    security::check_pod(&spec.child("securityContext"), spec, errors);
    affinity::check_affinity(&spec.child("affinity"), errors);
    check_dns(spec, errors);
    for gate in spec.child("readinessGates").items() {
        gate.child("conditionType").format(errors, names::is_qualified_name(gate.text("conditionType")));
    }
    check_scheduling_gates(&spec.child("schedulingGates"), errors);
    affinity::check_spread(&spec.child("topologySpreadConstraints"), errors);
    windows::check_host_process(spec, errors);
    check_host_users(spec, errors);
    check_hostname_override(spec, errors);
    check_names(spec, errors);
    check_os(spec, errors);
    check_file_key_volumes(spec, errors);
}

fn check_names(spec: &At, errors: &mut FieldErrors) {
    type Format = fn(&str) -> Vec<String>;
    let format = |field: &str, format: Format, errors: &mut FieldErrors| {
        let place = spec.child(field);
        if !place.is_empty() {
            place.format(errors, format(place.str()));
        }
    };
    format("serviceAccountName", names::is_dns1123_subdomain, errors);
    format("nodeName", names::is_dns1123_subdomain, errors);
    let deadline = spec.child("activeDeadlineSeconds");
    if let Some(seconds) = deadline.int() {
        deadline.number_format(errors, names::in_range(seconds, 1, i64::from(i32::MAX)));
    }
    format("hostname", names::is_dns1123_label, errors);
    format("subdomain", names::is_dns1123_label, errors);
    affinity::check_tolerations(&spec.child("tolerations"), errors);
    for alias in spec.child("hostAliases").items() {
        ip::check_legacy(&alias.child("ip"), errors);
        for name in alias.child("hostnames").items() {
            name.format(errors, names::is_dns1123_subdomain(name.str()));
        }
    }
    format("priorityClassName", names::is_dns1123_subdomain, errors);
    let class = spec.child("runtimeClassName");
    if class.exists() {
        class.format(errors, names::is_dns1123_subdomain(class.str()));
    }
    let preemption = spec.child("preemptionPolicy");
    if preemption.exists() {
        preemption.one_of(errors, &["PreemptLowerPriority", "Never"]);
    }
    for (name, amount) in spec.child("overhead").entries() {
        let amount = At::new(amount.value, format!("{}.limits[{name}]", spec.path_to("overhead")));
        quantities::check_container_name(name, &amount.path, errors);
        quantities::check_amount(name, &amount, errors);
    }
}

fn check_claims(claims: &At, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        let name = claim.child("name");
        if name.is_empty() {
            name.required(errors, "");
        } else if seen.insert(name.str()) {
            name.format(errors, names::is_dns1123_label(name.str()));
        } else {
            name.duplicate(errors);
        }
        let (own, template) = (claim.child("resourceClaimName"), claim.child("resourceClaimTemplateName"));
        let complaint = match (own.exists(), template.exists()) {
            (true, true) => Some("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
            (false, false) => Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            _ => None,
        };
        if let Some(complaint) = complaint {
            let text = |place: &At| place.value.to_string();
            let shown = format!(
                "{{\"Name\":{:?},\"ResourceClaimName\":{},\"ResourceClaimTemplateName\":{}}}",
                name.str(),
                text(&own),
                text(&template)
            );
            errors.invalid_shown(&*claim.path, &shown, complaint);
        }
        for reference in [own, template] {
            if reference.exists() {
                reference.format(errors, names::is_dns1123_subdomain(reference.str()));
            }
        }
    }
}

/// Resources of the pod as a whole.
fn check_pod_resources(spec: &At, claims: &BTreeSet<&str>, errors: &mut FieldErrors) {
    let resources = spec.child("resources");
    if !resources.exists() {
        return;
    }
    if spec.value.text("os.name") == "windows" {
        return resources.forbidden(errors, "may not be set for a windows pod");
    }
    if resources.has("claims") {
        resources.child("claims").forbidden(errors, "claims may not be set for Resources at pod-level");
    }
    quantities::check_requirements(&resources, quantities::check_pod_name, claims, errors);
    let requests = resources.child("requests");
    for (name, sum) in sums::container_requests(spec.value) {
        let own = requests.key(&name);
        if own.exists() && sum > quantities::amount(own.value) {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            errors.invalid(&*own.path, own.str(), detail);
        }
    }
    for (at, container) in spec.child("containers").items().enumerate() {
        for (name, limit) in container.child("resources.limits").entries() {
            let own = resources.child("limits").key(name);
            if own.exists() && quantities::amount(limit.value) > quantities::amount(own.value) {
                let path = format!("{}.containers[{at}][{name}].limits", resources.path);
                let detail = format!("must be less than or equal to pod limits of {}", own.str());
                errors.invalid(path, limit.str(), detail);
            }
        }
    }
}

fn check_host_network(spec: &At, is_pod: bool, errors: &mut FieldErrors) {
    if !spec.child("hostNetwork").flag() {
        return;
    }
    for port in spec.child("containers").items().flat_map(|container| container.child("ports").items()) {
        let number = |field: &str| port.value.int(field).unwrap_or(0);
        let (host, own) = (number("hostPort"), number("containerPort"));
        if (is_pod || host != 0) && host != own {
            let detail = "must match `containerPort` when `hostNetwork` is true";
            errors.invalid(port.path_to("hostPort"), host, detail);
        }
    }
}

fn check_dns(spec: &At, errors: &mut FieldErrors) {
    let config = spec.child("dnsConfig");
    let (servers, searches) = (config.child("nameservers"), config.child("searches"));
    if spec.text("dnsPolicy") == "None" {
        if !config.exists() {
            return config.required(errors, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return servers.required(errors, detail);
        }
    }
    if servers.len() > 3 {
        servers.invalid(errors, "must not have more than 3 nameservers");
    }
    servers.items().for_each(|server| {
        ip::check_legacy(&server, errors);
    });
    if searches.len() > 32 {
        searches.invalid(errors, "must not have more than 32 search paths");
    }
    let characters: usize = searches.items().map(|search| search.len() + 1).sum();
    if characters > 2048 + 1 {
        searches.invalid(errors, "must not have more than 2048 characters (including spaces) in the search list");
    }
    for search in searches.items().filter(|search| search.str() != ".") {
        let name = search.str().strip_suffix('.').unwrap_or(search.str());
        for complaint in names::is_dns1123_subdomain_with_underscore(name) {
            errors.invalid(&*search.path, name, complaint);
        }
    }
    for option in config.child("options").items() {
        if option.text("name").is_empty() {
            option.required(errors, "must not be empty");
        }
    }
}

fn check_scheduling_gates(gates: &At, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for gate in gates.items() {
        let name = gate.text("name");
        for complaint in names::is_qualified_name(name) {
            errors.invalid(&*gate.path, name, complaint);
        }
        if !seen.insert(name) {
            errors.duplicate(&*gate.path, name);
        }
    }
}

fn check_host_users(spec: &At, errors: &mut FieldErrors) {
    const DETAIL: &str = "when `hostUsers` is false";
    if spec.value.flag("hostUsers") != Some(false) {
        return;
    }
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.child(field).flag() {
            errors.forbidden(spec.path_to(shown), DETAIL);
        }
    }
    for container in each_container(spec) {
        let devices = container.child("volumeDevices");
        if !devices.is_empty() {
            devices.forbidden(errors, DETAIL);
        }
    }
}

fn check_hostname_override(spec: &At, errors: &mut FieldErrors) {
    let name = spec.child("hostnameOverride");
    if !name.exists() {
        return;
    }
    for other in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.child(other).flag() {
            name.forbidden(errors, format!("may not be specified when {other} is true"));
        }
    }
    if name.len() > 64 {
        errors.too_long(&*name.path, 64);
    }
    name.format(errors, names::is_dns1123_subdomain(name.str()));
}

fn check_os(spec: &At, errors: &mut FieldErrors) {
    let os = spec.child("os");
    if !os.exists() {
        return;
    }
    match os.text("name") {
        "" => os.child("name").required(errors, ""),
        "linux" => windows::check_linux(spec, errors),
        "windows" => windows::check_windows(spec, errors),
        other => errors.not_supported(&*os.path, other, &["linux", "windows"]),
    }
}

/// Files with variables are read from volumes that live as long as the pod.
fn check_file_key_volumes(spec: &At, errors: &mut FieldErrors) {
    for variable in each_container(spec).flat_map(|container| container.child("env").items()) {
        let name = variable.child("valueFrom.fileKeyRef.volumeName");
        if !variable.has("valueFrom.fileKeyRef") {
            continue;
        }
        match spec.child("volumes").items().find(|volume| volume.text("name") == name.str()) {
            None => errors.not_found(&*name.path, name.str()),
            Some(volume) if !volume.has("emptyDir") => {
                name.invalid_text(errors, "referenced volume must be of type emptyDir");
            }
            Some(_) => (),
        }
    }
}
