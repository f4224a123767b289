//! Ingress: hTTP routes from outside to services.

use super::check_local_reference;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, at};
use crate::resources::core::check_host_name;
use crate::resources::core::service_columns::load_balancer_addresses;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};
use crate::resources::{ip, names};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["ing"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path_or("Class", "spec.ingressClassName", "<none>"),
        Column::with("Hosts", |o| hosts(o).into()),
        Column::with("Address", address),
        Column::with("Ports", ports),
        Column::AGE,
    ],
    rules: &Ingress,
    ..ResourceDef::namespaced(
        "networking.k8s.io",
        "Ingress",
        "ingresses",
        "ingress",
        &[Version::on("v1", "io.k8s.api.networking.v1.Ingress")],
    )
};

/// The hosts of the first three rules, and how many more rules there are.
fn hosts(ingress: &Tree) -> String {
    let rules = ingress.items("spec.rules");
    let mut hosts = Vec::new();
    for rule in rules {
        if hosts.len() == 3 {
            return format!("{} + {} more...", hosts.join(","), rules.len() - 3);
        }
        if !rule.text("host").is_empty() {
            hosts.push(rule.text("host"));
        }
    }
    if hosts.is_empty() { "*".into() } else { hosts.join(",") }
}

fn address(ingress: &Tree) -> Tree {
    load_balancer_addresses(ingress).into_iter().collect::<Vec<_>>().join(",").into()
}

fn ports(ingress: &Tree) -> Tree {
    if ingress.items("spec.tls").is_empty() { "80" } else { "80, 443" }.into()
}

/// How the class was named before there was a field for it.
const ANNOTATION: &str = "kubernetes.io/ingress.class";

pub struct Ingress;

impl Rules for Ingress {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_spec(&At::root(new).child("spec"), errors);
        let (annotation, class) = (at(new, "metadata.annotations").get(ANNOTATION), at(new, "spec.ingressClassName"));
        if let Some(annotation) = annotation.filter(|text| old.is_none() && !class.is_null() && *text != class) {
            let detail = "must match `ingressClassName` when both are specified";
            errors.invalid(format!("annotations.{ANNOTATION}"), annotation.clone(), detail);
        }
    }

    fn warnings(&self, new: &Tree, old: Option<&Tree>) -> Vec<String> {
        let has = at(new, "metadata.annotations").get(ANNOTATION).is_some();
        let told =
            "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead";
        if has && old.is_none() { vec![told.into()] } else { Vec::new() }
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        for ingress in At::root(new).child("status.loadBalancer.ingress").items() {
            if !ingress.text("ip").is_empty() {
                ip::check_legacy(&ingress.child("ip"), errors);
            }
            check_host_name(&ingress.child("hostname"), errors);
        }
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn check_spec(spec: &At, errors: &mut FieldErrors) {
    let (backend, rules) = (spec.child("defaultBackend"), spec.child("rules"));
    if rules.is_empty() && !backend.exists() {
        errors.invalid(&*spec.path, rules.value.clone(), "either `defaultBackend` or `rules` must be specified");
    }
    if backend.exists() {
        check_backend(&backend, errors);
    }
    for rule in rules.items() {
        check_host(&rule.child("host"), errors);
        let http = rule.child("http");
        if http.exists() && http.child("paths").is_empty() {
            http.child("paths").required(errors, "");
        }
        http.child("paths").items().for_each(|path| check_path(&path, errors));
    }
    for tls in spec.child("tls").items() {
        tls.child("hosts").items().for_each(|host| host.format(errors, host_format(host.str())));
        let secret = tls.child("secretName");
        if !secret.is_empty() {
            secret.format(errors, names::is_dns1123_subdomain(secret.str()));
        }
    }
    let class = spec.child("ingressClassName");
    if class.exists() {
        class.format(errors, names::is_dns1123_subdomain(class.str()));
    }
}

fn host_format(host: &str) -> Vec<String> {
    if host.contains('*') { names::is_wildcard_dns1123_subdomain(host) } else { names::is_dns1123_subdomain(host) }
}

fn check_host(host: &At, errors: &mut FieldErrors) {
    if host.is_empty() {
        return;
    }
    if ip::parse_sloppy(host.str()).is_some() {
        host.invalid(errors, "must be a DNS name, not an IP address");
    }
    host.format(errors, host_format(host.str()));
}

fn check_path(place: &At, errors: &mut FieldErrors) {
    let (kind, path) = (place.child("pathType"), place.child("path"));
    if !kind.exists() {
        return kind.required(errors, "pathType must be specified");
    }
    let absolute = path.str().starts_with('/');
    match kind.str() {
        "Exact" | "Prefix" => {
            if !absolute {
                path.invalid_text(errors, "must be an absolute path");
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|bad| path.str().contains(**bad)) {
                path.invalid_text(errors, format!("must not contain '{bad}'"));
            }
            for bad in ["/..", "/."].iter().filter(|bad| path.str().ends_with(**bad)) {
                path.invalid_text(errors, format!("cannot end with '{bad}'"));
            }
        }
        "ImplementationSpecific" if !path.is_empty() && !absolute => {
            path.invalid_text(errors, "must be an absolute path");
        }
        "ImplementationSpecific" => (),
        _ => kind.not_supported(errors, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    check_backend(&place.child("backend"), errors);
}

fn check_backend(backend: &At, errors: &mut FieldErrors) {
    let (resource, service) = (backend.child("resource"), backend.child("service"));
    match (resource.exists(), service.exists()) {
        (true, true) => errors.invalid(&*backend.path, "", "cannot set both resource and service backends"),
        (true, false) => check_local_reference(&resource, errors),
        (false, true) => check_service(&service, backend, errors),
        (false, false) => errors.invalid(&*backend.path, "", "resource or service backend is required"),
    }
}

fn check_service(service: &At, backend: &At, errors: &mut FieldErrors) {
    let (name, port_name, number) = (service.child("name"), service.child("port.name"), service.child("port.number"));
    if name.is_empty() {
        name.required(errors, "");
    } else {
        name.format(errors, names::is_dns1123_label(name.str()));
    }
    match (port_name.is_empty(), number.int().unwrap_or(0)) {
        (true, 0) => backend.required(errors, "port name or number is required"),
        (true, given) => number.number_format(errors, names::is_port_number(given)),
        (false, 0) => port_name.format(errors, names::is_port_name(port_name.str())),
        (false, _) => errors.invalid(&*backend.path, "", "cannot set both port name & port number"),
    }
}
