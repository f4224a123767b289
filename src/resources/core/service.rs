//! Service: a name and an address for a set of pods.

use super::service_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at};
use crate::resources::defaults::{each, set_if_empty};
use crate::resources::ip;
use crate::resources::names;
use crate::resources::{ResourceDef, Rules, Special, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["svc"],
    categories: &["all"],
    subresources: &[
        Special::kind("proxy", "ServiceProxyOptions", &["create", "delete", "get", "patch", "update"]),
        Subresource::Status,
    ],
    selectable: &["spec.clusterIP", "spec.type"],
    columns: super::service_columns::COLUMNS,
    rules: &Service,
    ..ResourceDef::namespaced("", "Service", "services", "service", &[Version::on("v1", "io.k8s.api.core.v1.Service")])
};

pub struct Service;

impl Rules for Service {
    fn default(&self, new: &mut Tree) {
        set_if_empty(new, "spec.sessionAffinity", "None");
        match new.text("spec.sessionAffinity") {
            "None" => drop(new.unset("spec.sessionAffinityConfig")),
            "ClientIP" => new.set_default("spec.sessionAffinityConfig.clientIP.timeoutSeconds", 10_800),
            _ => (),
        }
        set_if_empty(new, "spec.type", "ClusterIP");
        each(new, "spec.ports", |port| {
            set_if_empty(port, "protocol", "TCP");
            if matches!(at(port, "targetPort"), Tree::Null)
                || port.int("targetPort") == Some(0)
                || at(port, "targetPort") == ""
            {
                let number = port.int("port").unwrap_or(0);
                port.set("targetPort", number);
            }
        });
        if service_checks::is_reachable_from_outside(new) {
            set_if_empty(new, "spec.externalTrafficPolicy", "Cluster");
        }
        if matches!(new.text("spec.type"), "NodePort" | "LoadBalancer" | "ClusterIP") {
            new.set_default("spec.internalTrafficPolicy", "Cluster");
        }
        if new.text("spec.type") == "LoadBalancer" {
            new.set_default("spec.allocateLoadBalancerNodePorts", true);
            each(new, "status.loadBalancer.ingress", |ingress| {
                if !ingress.text("ip").is_empty() {
                    ingress.set_default("ipMode", "VIP");
                }
            });
        }
    }

    fn prepare_create(&self, new: &mut Tree) {
        new.set("status", json!({"loadBalancer": {}}));
        let address = new.text("spec.clusterIP").to_owned();
        if !address.is_empty() && new.items("spec.clusterIPs").is_empty() {
            new.set("spec.clusterIPs", json!([address]));
        }
    }

    fn prepare_update(&self, new: &mut Tree, old: &Tree) {
        service_checks::align_addresses(new, old);
        service_checks::drop_fields_of_old_type(new, old);
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            service_checks::check_update(new, old, errors);
        }
        service_checks::check(new, errors);
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        service_checks::warnings(new)
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        let ingresses = At::root(new).child("status.loadBalancer.ingress");
        if new.text("spec.type") != "LoadBalancer" && !ingresses.is_empty() {
            return ingresses.forbidden(errors, "may only be used when `spec.type` is 'LoadBalancer'");
        }
        for ingress in ingresses.items() {
            let (address, mode) = (ingress.child("ip"), ingress.child("ipMode"));
            if !address.is_empty() {
                ip::check_legacy(&address, errors);
            }
            match (mode.exists(), address.is_empty()) {
                (false, false) => mode.required(errors, "must be specified when `ip` is set"),
                (true, true) => mode.forbidden(errors, "may not be specified when `ip` is not set"),
                (true, false) if !matches!(mode.str(), "Proxy" | "VIP") => {
                    mode.not_supported(errors, &["Proxy", "VIP"]);
                }
                _ => (),
            }
            service_checks::check_host_name(&ingress.child("hostname"), errors);
        }
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        names::dns1123_label(name, is_prefix)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}
