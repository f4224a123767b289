//! Namespaces, priority classes, the `kubernetes` service, and what aggregated API servers trust.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Item, as_it_is, with_fields};
use crate::object::Tree;
use crate::object::tree::json;

/// What the objects say of the servers.
#[derive(Clone)]
pub struct Facts {
    /// Where the servers of the cluster are, at least one.
    pub servers: Vec<IpAddr>,
    pub port: u16,
    /// Of the `kubernetes` service.
    pub service_ip: IpAddr,
    pub service_cidrs: Vec<IpNet>,
    pub client_ca_pem: String,
    pub request_header_ca_pem: String,
    /// `YYYY-MM-DD`.
    pub today: String,
}

pub fn namespaces() -> Vec<Item> {
    ["default", "kube-system", "kube-public", "kube-node-lease"]
        .map(|name| Item::new(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}), as_it_is))
        .into()
}

pub fn objects(facts: &Facts) -> Vec<Item> {
    vec![
        priority_class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        priority_class(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        service_cidr(facts),
        service(facts),
        authentication(facts),
        token_tracking(facts),
    ]
    .into_iter()
    .chain(servers(facts))
    .collect()
}

/// Where the `kubernetes` service leads to.
pub fn servers(facts: &Facts) -> Vec<Item> {
    vec![endpoints(facts), endpoint_slice(facts)]
}

/// Since when it is written down that a token in a Secret is used.
fn token_tracking(facts: &Facts) -> Item {
    let metadata = json!({"namespace": "kube-system", "name": "kube-apiserver-legacy-service-account-token-tracking"});
    let data = json!({"since": facts.today});
    Item::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}), as_it_is)
}

fn priority_class(name: &str, value: i64, description: &str) -> Item {
    let tree = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
        "value": value, "description": description,
    });
    Item::new(tree, as_it_is)
}

fn service_cidr(facts: &Facts) -> Item {
    let cidrs: Vec<String> = facts.service_cidrs.iter().map(IpNet::to_string).collect();
    let tree = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": cidrs},
    });
    Item::new(tree, as_it_is)
}

fn service(facts: &Facts) -> Item {
    let tree = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "sessionAffinity": "None", "clusterIP": facts.service_ip,
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": facts.port}],
        },
    });
    Item::new(tree, |wanted, stored| with_fields(wanted, stored, &["spec.ports"]))
}

fn endpoints(facts: &Facts) -> Item {
    let tree = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": facts.servers.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(),
            "ports": [{"name": "https", "port": facts.port, "protocol": "TCP"}],
        }],
    });
    Item::new(tree, |wanted, stored| with_fields(wanted, stored, &["subsets"]))
}

fn endpoint_slice(facts: &Facts) -> Item {
    let is_ipv4 = facts.servers.first().is_none_or(IpAddr::is_ipv4);
    let family = if is_ipv4 { "IPv4" } else { "IPv6" };
    let of_family = facts.servers.iter().filter(|ip| ip.is_ipv4() == is_ipv4);
    let endpoint = |ip: &IpAddr| json!({"addresses": [ip], "conditions": {"ready": true}});
    let endpoints: Vec<Tree> = of_family.map(endpoint).collect();
    let tree = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [{"name": "https", "port": facts.port, "protocol": "TCP"}],
    });
    Item::new(tree, |wanted, stored| with_fields(wanted, stored, &["endpoints", "ports"]))
}

/// How aggregated API servers recognise users and us.
fn authentication(facts: &Facts) -> Item {
    let tree: Tree = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": facts.client_ca_pem,
            "requestheader-client-ca-file": facts.request_header_ca_pem,
            "requestheader-allowed-names": "[\"system:auth-proxy\"]",
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
            "requestheader-username-headers": "[\"X-Remote-User\"]",
        },
    });
    Item::new(tree, |wanted, stored| with_fields(wanted, stored, &["data"]))
}
