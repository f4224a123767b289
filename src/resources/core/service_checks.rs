//! What makes a Service valid, and what may change in one.

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, at};
use crate::resources::labels::check_labels;
use crate::resources::podspec::probes::check_port;
use crate::resources::{ip, names};

const NONE: &str = "None";
const AFFINITY_SECONDS_MAX: i64 = 86_400;

pub fn is_reachable_from_outside(service: &Tree) -> bool {
    match service.text("spec.type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !service.items("spec.externalIPs").is_empty(),
        _ => false,
    }
}

pub fn is_headless(service: &Tree) -> bool {
    matches!(service.items("spec.clusterIPs"), [only] if only == NONE)
}

/// Whether load balancers have to ask each node if it has a local endpoint.
pub fn needs_health_check(service: &Tree) -> bool {
    service.text("spec.type") == "LoadBalancer" && service.text("spec.externalTrafficPolicy") == "Local"
}

pub fn check(service: &Tree, errors: &mut FieldErrors) {
    let spec = At::root(service).child("spec");
    check_topology_annotations(service, errors);
    let kind = service.text("spec.type");
    let headless = is_headless(service);
    if spec.child("ports").is_empty() && !headless && kind != "ExternalName" {
        spec.child("ports").required(errors, "");
    }
    if headless && matches!(kind, "LoadBalancer" | "NodePort") {
        let detail = format!("may not be set to 'None' for {kind} services");
        spec.child("clusterIPs").index(0).invalid(errors, detail);
    }
    if kind == "ExternalName" {
        check_external_name(&spec, errors);
    }
    check_ports(&spec, errors);
    check_labels(&spec.child("selector"), errors);
    check_affinity(&spec, errors);
    check_addresses(&spec, headless, errors);
    for address in spec.child("externalIPs").items() {
        let before = errors.list.len();
        ip::check_legacy(&address, errors);
        if errors.list.len() == before {
            ip::check_reachable(&address, errors);
        }
    }
    spec.child("type").one_of(errors, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    check_node_ports(&spec, errors);
    check_source_ranges(service, &spec, errors);
    check_load_balancer(&spec, errors);
    check_policies(service, &spec, errors);
}

fn check_topology_annotations(service: &Tree, errors: &mut FieldErrors) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    let annotations = At::root(service).child("metadata.annotations");
    let (hints, mode) = (annotations.key(HINTS), annotations.key(MODE));
    if hints.exists() && mode.exists() && hints.value != mode.value {
        mode.invalid(errors, format!("must match annotations[{HINTS}] when both are specified"));
    }
}

fn check_external_name(spec: &At, errors: &mut FieldErrors) {
    const DETAIL: &str = "may not be set for ExternalName services";
    for (field, set) in [("clusterIPs", false), ("ipFamilies", false), ("ipFamilyPolicy", true)] {
        let place = spec.child(field);
        if !place.is_empty() || (set && place.exists()) {
            place.forbidden(errors, DETAIL);
        }
    }
    let name = spec.child("externalName");
    match name.str().strip_suffix('.').unwrap_or(name.str()) {
        "" => name.required(errors, ""),
        text => {
            for complaint in names::is_dns1123_subdomain(text) {
                errors.invalid(&*name.path, text, complaint);
            }
        }
    }
}

fn check_ports(spec: &At, errors: &mut FieldErrors) {
    let ports = spec.child("ports");
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let (name, number, protocol) = (port.child("name"), port.child("port"), port.child("appProtocol"));
        if !name.is_empty() {
            name.format(errors, names::is_dns1123_label(name.str()));
            if !seen.insert(name.str()) {
                name.duplicate(errors);
            }
        } else if ports.len() > 1 {
            name.required(errors, "");
        }
        number.number_format(errors, names::is_port_number(number.int().unwrap_or(0)));
        port.child("protocol").one_of(errors, &["SCTP", "TCP", "UDP"]);
        check_port(&port.child("targetPort"), errors);
        if protocol.exists() {
            protocol.format(errors, names::is_qualified_name(protocol.str()));
        }
    }
}

fn check_affinity(spec: &At, errors: &mut FieldErrors) {
    let (affinity, config) = (spec.child("sessionAffinity"), spec.child("sessionAffinityConfig"));
    affinity.one_of(errors, &["ClientIP", "None"]);
    if affinity.str() == NONE && config.exists() {
        config.forbidden(errors, "must not be set when session affinity is None");
    }
    if affinity.str() != "ClientIP" {
        return;
    }
    let (client, timeout) = (config.child("clientIP"), config.child("clientIP.timeoutSeconds"));
    for place in [&config, &client, &timeout] {
        if !place.exists() {
            return place.required(errors, "when session affinity type is ClientIP");
        }
    }
    if !(1..=AFFINITY_SECONDS_MAX).contains(&timeout.int().unwrap_or(0)) {
        timeout.invalid(errors, format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"));
    }
}

fn check_addresses(spec: &At, headless: bool, errors: &mut FieldErrors) {
    if spec.text("type") == "ExternalName" {
        return;
    }
    let (single, list) = (spec.text("clusterIP"), spec.child("clusterIPs"));
    match (single, list.index(0).str()) {
        ("", "") => (),
        ("", _) => list.invalid(errors, "must be empty when `clusterIP` is not specified"),
        (_, "") => list.required(errors, ""),
        (single, first) if single != first => list.invalid(errors, "first value must match `clusterIP`"),
        _ => (),
    }
    let families = spec.child("ipFamilies");
    let mut seen = BTreeSet::new();
    for family in families.items() {
        if !matches!(family.str(), "IPv4" | "IPv6") {
            family.not_supported(errors, &["IPv4", "IPv6"]);
        }
        if !seen.insert(family.str()) {
            family.duplicate(errors);
        }
    }
    const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    let policy = spec.child("ipFamilyPolicy");
    if policy.exists() && !POLICIES.contains(&policy.str()) {
        policy.not_supported(errors, POLICIES);
    }
    let mut invalid = false;
    let mut addresses = Vec::new();
    for (place, address) in list.items().enumerate() {
        if place == 0 && address.str() == NONE {
            if list.len() > 1 {
                invalid = true;
                list.invalid(errors, "'None' must be the first and only value");
            }
            continue;
        }
        let before = errors.list.len();
        addresses.extend(ip::check_legacy(&address, errors));
        invalid |= errors.list.len() > before;
    }
    if list.len() > 2 {
        list.invalid(errors, "may only hold up to 2 values");
    }
    if invalid {
        return;
    }
    if list.len() > 1 && !ip::is_dual_stack(&addresses) {
        list.invalid(errors, "may specify no more than one IP for each IP family");
    }
    if headless {
        return;
    }
    for (place, (address, family)) in addresses.iter().zip(families.items()).enumerate() {
        let wanted = match family.str() {
            "IPv4" if address.is_ipv6() => "an IPv4",
            "IPv6" if address.is_ipv4() => "an IPv6",
            _ => continue,
        };
        list.index(place).invalid(errors, format!("expected {wanted} value as indicated by `ipFamilies[{place}]`"));
    }
}

fn check_node_ports(spec: &At, errors: &mut FieldErrors) {
    let number = |port: &At, field: &str| port.value.int(field).unwrap_or(0);
    let ports: Vec<At> = spec.child("ports").items().collect();
    if spec.text("type") == "ClusterIP" {
        for port in ports.iter().filter(|port| number(port, "nodePort") != 0) {
            port.child("nodePort").forbidden(errors, "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for port in ports.iter().filter(|port| number(port, "nodePort") != 0) {
        if !seen.insert((port.text("protocol"), number(port, "nodePort"))) {
            port.child("nodePort").duplicate(errors);
        }
    }
    let mut seen = BTreeSet::new();
    for port in &ports {
        if !seen.insert((port.text("protocol"), number(port, "port"))) {
            let (protocol, port_number) = (port.text("protocol"), number(port, "port"));
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{protocol:?},\"AppProtocol\":null,\"Port\":{port_number},\"TargetPort\":0,\"NodePort\":0}}"
            );
            errors.duplicate_shown(&*port.path, &shown, "");
        }
    }
}

fn check_source_ranges(service: &Tree, spec: &At, errors: &mut FieldErrors) {
    const ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    const DETAIL: &str = "may only be used when `type` is 'LoadBalancer'";
    let balanced = spec.text("type") == "LoadBalancer";
    let ranges = At::new(spec.child("loadBalancerSourceRanges").value, spec.path_to("LoadBalancerSourceRanges"));
    let annotation = At::root(service).child("metadata.annotations").key(ANNOTATION);
    if !ranges.is_empty() {
        if !balanced {
            ranges.forbidden(errors, DETAIL);
        }
        for range in ranges.items() {
            let text = Tree::from(range.str().trim());
            ip::check_network_legacy(&At::new(&text, &*range.path), errors);
        }
    } else if annotation.exists() {
        if !balanced {
            annotation.forbidden(errors, DETAIL);
        }
        for part in annotation.str().split(',').map(str::trim).filter(|_| !annotation.str().trim().is_empty()) {
            let text = Tree::from(part);
            ip::check_network_legacy(&At::new(&text, &*annotation.path), errors);
        }
    }
}

fn check_load_balancer(spec: &At, errors: &mut FieldErrors) {
    const DETAIL: &str = "may only be used when `type` is 'LoadBalancer'";
    let balanced = spec.text("type") == "LoadBalancer";
    let (allocate, class) = (spec.child("allocateLoadBalancerNodePorts"), spec.child("loadBalancerClass"));
    if allocate.exists() && !balanced {
        allocate.forbidden(errors, DETAIL);
    } else if balanced && !allocate.exists() {
        errors.required("allocateLoadBalancerNodePorts", "");
    }
    if class.exists() && !balanced {
        class.forbidden(errors, DETAIL);
    } else if class.exists() {
        class.format(errors, names::is_qualified_name(class.str()));
    }
}

fn check_policies(service: &Tree, spec: &At, errors: &mut FieldErrors) {
    let external = spec.child("externalTrafficPolicy");
    if is_reachable_from_outside(service) {
        external.one_of(errors, &["Cluster", "Local"]);
    } else if !external.is_empty() {
        external.invalid(errors, "may only be set for externally-accessible services");
    }
    let port = spec.child("healthCheckNodePort");
    let number = port.int().unwrap_or(0);
    if needs_health_check(service) {
        if number != 0 {
            port.number_format(errors, names::is_port_number(number));
        }
    } else if number != 0 {
        port.invalid(errors, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
    }
    let internal = spec.child("internalTrafficPolicy");
    if internal.exists() && !matches!(internal.str(), "Cluster" | "Local") {
        internal.not_supported(errors, &["Cluster", "Local"]);
    } else if !internal.exists() && matches!(spec.text("type"), "NodePort" | "LoadBalancer" | "ClusterIP") {
        internal.required(errors, "");
    }
    const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
    let distribution = spec.child("trafficDistribution");
    if distribution.exists() && !DISTRIBUTIONS.contains(&distribution.str()) {
        distribution.not_supported(errors, DISTRIBUTIONS);
    }
}

pub fn check_host_name(host: &At, errors: &mut FieldErrors) {
    if host.is_empty() {
        return;
    }
    host.format(errors, names::is_dns1123_subdomain(host.str()));
    if ip::parse_sloppy(host.str()).is_some() {
        host.invalid(errors, "must be a DNS name, not an IP address");
    }
}

/// Addresses and families that were given out once stay.
pub fn check_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let external = |service: &Tree| service.text("spec.type") == "ExternalName";
    let both_headless = is_headless(new) && is_headless(old);
    if !external(new) && !external(old) {
        if !both_headless {
            check_kept(new, old, "clusterIPs", errors);
        }
        if !is_headless(new) && !is_headless(old) {
            check_kept(new, old, "ipFamilies", errors);
        }
    }
    let balanced = |service: &Tree| service.text("spec.type") == "LoadBalancer";
    let class = At::root(new).child("spec.loadBalancerClass");
    if balanced(new) && balanced(old) && class.value != at(old, "spec.loadBalancerClass") {
        class.invalid(errors, "may not change once set");
    }
    let port = "spec.healthCheckNodePort";
    if needs_health_check(new) && needs_health_check(old) && new.int(port) != old.int(port) {
        errors.forbidden(port, "field is immutable");
    }
}

/// A second entry may come and go; the first one stays.
fn check_kept(new: &Tree, old: &Tree, field: &str, errors: &mut FieldErrors) {
    let list = At::root(new).child("spec").child(field);
    let before = at(old, "spec").items(field);
    let shown = if list.exists() { list.value.clone() } else { Tree::Array(Vec::new()) };
    let single = field.trim_end_matches('s').replace("ipFamilie", "ipFamily");
    let complain = |place: usize, detail: &str, errors: &mut FieldErrors| {
        errors.invalid(format!("{}[{place}]", list.path), shown.clone(), detail);
    };
    if before.len() == list.len() {
        for (place, _) in before.iter().enumerate().filter(|(place, old)| list.index(*place).value != *old) {
            complain(if field == "clusterIPs" { place } else { 0 }, "may not change once set", errors);
        }
        return;
    }
    if before.len() > list.len() && list.is_empty() {
        return complain(0, &format!("primary {single} can not be unset"), errors);
    }
    if !before.is_empty() && list.index(0).value != &before[0] {
        complain(0, "may not change once set", errors);
    }
    let policy = At::root(new).child("spec.ipFamilyPolicy");
    if before.len() > list.len() && policy.str() != "SingleStack" {
        policy.invalid(errors, format!("must be set to 'SingleStack' when releasing the secondary {single}"));
    }
}

/// A service of another type gives up what only its old type has, unless the update says otherwise.
/// `clusterIP` is the first of `clusterIPs`: a client that knows only one of them changes only one.
pub fn align_addresses(new: &mut Tree, old: &Tree) {
    let same = |field: &str| at(new, field) == at(old, field);
    match (same("spec.clusterIP"), same("spec.clusterIPs")) {
        (false, true) if !new.text("spec.clusterIP").is_empty() => {
            let mut addresses = vec![at(new, "spec.clusterIP").clone()];
            addresses.extend(new.items("spec.clusterIPs").iter().skip(1).cloned());
            new.set("spec.clusterIPs", addresses);
        }
        (true, false) if !new.items("spec.clusterIPs").is_empty() => {
            let first = new.items("spec.clusterIPs")[0].clone();
            new.set("spec.clusterIP", first);
        }
        _ => (),
    }
}

pub fn drop_fields_of_old_type(new: &mut Tree, old: &Tree) {
    let kind = |service: &Tree| service.text("spec.type").to_owned();
    let (now, before) = (kind(new), kind(old));
    let has_node_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let mut drop_same = |fields: &[&str]| {
        if fields.iter().all(|field| at(new, &format!("spec.{field}")) == at(old, &format!("spec.{field}"))) {
            fields.iter().for_each(|field| drop(new.unset(&format!("spec.{field}"))));
        }
    };
    if before != "ExternalName" && now == "ExternalName" {
        drop_same(&["clusterIP", "clusterIPs"]);
        drop_same(&["ipFamilies"]);
        drop_same(&["ipFamilyPolicy"]);
        drop_same(&["internalTrafficPolicy"]);
    }
    if before == "LoadBalancer" && now != "LoadBalancer" {
        drop_same(&["allocateLoadBalancerNodePorts"]);
        drop_same(&["loadBalancerClass"]);
    }
    if needs_health_check(old) && !needs_health_check(new) {
        let same = at(new, "spec.healthCheckNodePort") == at(old, "spec.healthCheckNodePort");
        if same {
            new.unset("spec.healthCheckNodePort");
        }
    }
    if is_reachable_from_outside(old) && !is_reachable_from_outside(new) {
        let same = at(new, "spec.externalTrafficPolicy") == at(old, "spec.externalTrafficPolicy");
        if same {
            new.unset("spec.externalTrafficPolicy");
        }
    }
    if has_node_ports(&before) && !has_node_ports(&now) {
        let ports = |service: &Tree| -> BTreeSet<i64> {
            service.items("spec.ports").iter().filter_map(|port| port.int("nodePort")).collect()
        };
        if ports(new).is_subset(&ports(old)) {
            crate::resources::defaults::each(new, "spec.ports", |port| drop(port.unset("nodePort")));
        }
    }
    if now != "LoadBalancer" {
        new.unset("status.loadBalancer");
    }
}

/// What is accepted, but has no effect or a better spelling.
pub fn warnings(service: &Tree) -> Vec<String> {
    let spec = At::root(service).child("spec");
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    if At::root(service).child("metadata.annotations").key(HINTS).exists() {
        warn(format!("annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"));
    }
    let kind = spec.text("type");
    let headless = kind == "ClusterIP" && spec.text("clusterIP") == "None";
    let outside = spec.child("externalIPs");
    if headless {
        for (ignored, is_set) in [
            ("loadBalancerIP", !spec.text("loadBalancerIP").is_empty()),
            ("externalIPs", !outside.is_empty()),
            ("SessionAffinity", spec.text("sessionAffinity") != "None"),
        ] {
            if is_set {
                warn(format!("spec.{ignored} is ignored for headless services"));
            }
        }
    }
    if !headless {
        spec.child("clusterIPs").items().filter_map(|address| ip::warning(&address)).for_each(&mut warn);
    }
    outside.items().filter_map(|address| ip::warning(&address)).for_each(&mut warn);
    if !outside.is_empty() && !headless && kind != "ExternalName" {
        warn("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    ip::warning(&spec.child("loadBalancerIP")).into_iter().for_each(&mut warn);
    if kind == "ExternalName" && !outside.is_empty() {
        warn("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !spec.text("externalName").is_empty() {
        warn("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.text("trafficDistribution") == "PreferClose" {
        warn("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}
