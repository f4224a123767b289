//! From a snapshot to the model of services: whose endpoints count, for whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use super::model::{Backends, Endpoint, Health, HostPort, Model, Protocol, ServicePort};
use crate::client::{Seen, Snapshot};
use crate::object::view::Pod;
use crate::object::view::{EndpointSlice, Service};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// Services with this label are served by somebody else's proxy.
const OTHER_PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";
const AFFINITY_SECS_DEFAULT: u32 = 10_800;

/// What `node` should do for the services of `snap`. Services at `own` addresses are answered by
/// this process itself.
pub fn model(snap: &Snapshot, node: &str, own: &[Ipv4Addr]) -> Model {
    let mut slices: HashMap<(String, String), Vec<Seen<EndpointSlice>>> = HashMap::new();
    for slice in snap.list::<EndpointSlice>("") {
        let service = slice.meta().label(SERVICE_NAME_LABEL).map(str::to_owned);
        if let (Some(service), "IPv4") = (service, slice.address_type.as_str()) {
            slices.entry((slice.namespace().to_owned(), service)).or_default().push(slice);
        }
    }
    let mut services = Vec::new();
    let mut health = BTreeMap::new();
    for service in snap.list::<Service>("") {
        let skipped =
            service.is_headless() || service.is_external_name() || service.meta().label(OTHER_PROXY_LABEL).is_some();
        if skipped || cluster_ips(&service).iter().any(|ip| own.contains(ip)) {
            continue;
        }
        let key = (service.namespace().to_owned(), service.name().to_owned());
        let slices = slices.get(&key).map_or(&[][..], Vec::as_slice);
        if service.spec.health_check_node_port != 0 && service.spec.external_traffic_policy == "Local" {
            health.insert(service.spec.health_check_node_port, health_of(&service, slices, node));
        }
        services.extend((0..service.spec.ports.len()).filter_map(|port| service_port(&service, port, slices, node)));
    }
    let mut host_ports: Vec<HostPort> = snap.pods_on_node(node).iter().flat_map(pod_host_ports).collect();
    host_ports.sort_by(|a, b| (&a.pod, a.port).cmp(&(&b.pod, b.port)));
    Model { services, host_ports, health }
}

/// Endpoints of any port count once for each address.
fn health_of(service: &Seen<Service>, slices: &[Seen<EndpointSlice>], node: &str) -> Health {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let ready_here = endpoints
        .filter(|endpoint| endpoint.node_name.as_deref() == Some(node) && endpoint.conditions.ready.unwrap_or(true));
    let addresses: BTreeSet<&String> = ready_here.filter_map(|endpoint| endpoint.addresses.first()).collect();
    Health { service: format!("{}/{}", service.namespace(), service.name()), local_endpoints: addresses.len() }
}

fn service_port(
    service: &Seen<Service>,
    index: usize,
    slices: &[Seen<EndpointSlice>],
    node: &str,
) -> Option<ServicePort> {
    let spec = &service.spec;
    let port = &spec.ports[index];
    let candidates = candidates(slices, &port.name);
    let internal_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    let external_local = spec.external_traffic_policy == "Local";
    let mut external_ips: Vec<Ipv4Addr> = spec.external_ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    external_ips
        .extend(service.status.load_balancer.ingress.iter().filter_map(|ingress| ingress.ip.parse::<Ipv4Addr>().ok()));
    let affinity = || spec.session_affinity_config.as_ref()?.client_ip.as_ref()?.timeout_seconds?.try_into().ok();
    Some(ServicePort {
        service: format!("{}/{}", service.namespace(), service.name()),
        protocol: Protocol::parse(&port.protocol)?,
        port: port.port,
        cluster_ips: cluster_ips(service),
        external_ips,
        node_port: (port.node_port != 0).then_some(port.node_port),
        internal: backends(&candidates, internal_local, node),
        external: backends(&candidates, external_local, node),
        affinity_secs: (spec.session_affinity == "ClientIP").then(|| affinity().unwrap_or(AFFINITY_SECS_DEFAULT)),
    })
}

/// An endpoint that might be sent to.
struct Candidate {
    endpoint: Endpoint,
    node: String,
    ready: bool,
    /// Terminating, but still answering: better than nobody.
    serving: bool,
}

fn candidates(slices: &[Seen<EndpointSlice>], port_name: &str) -> Vec<Candidate> {
    let mut all = Vec::new();
    for slice in slices {
        let named = slice.ports.iter().find(|port| port.name.as_deref().unwrap_or_default() == port_name);
        let Some(port) = named.and_then(|port| port.port) else { continue };
        for endpoint in &slice.endpoints {
            let Some(ip) = endpoint.addresses.first().and_then(|ip| ip.parse().ok()) else { continue };
            let conditions = &endpoint.conditions;
            let ready = conditions.ready.unwrap_or(true);
            all.push(Candidate {
                endpoint: Endpoint { ip, port },
                node: endpoint.node_name.clone().unwrap_or_default(),
                ready,
                serving: conditions.serving.unwrap_or(ready),
            });
        }
    }
    all.sort_by_key(|candidate| candidate.endpoint);
    all.dedup_by_key(|candidate| candidate.endpoint);
    all
}

fn backends(candidates: &[Candidate], local_only: bool, node: &str) -> Backends {
    let here = |candidate: &&Candidate| !local_only || candidate.node == node;
    let choose = |wanted: fn(&Candidate) -> bool| -> Vec<Endpoint> {
        candidates
            .iter()
            .filter(here)
            .filter(|candidate| wanted(candidate))
            .map(|candidate| candidate.endpoint)
            .collect()
    };
    let mut endpoints = choose(|candidate| candidate.ready);
    if endpoints.is_empty() {
        endpoints = choose(|candidate| candidate.serving);
    }
    Backends { endpoints, local_only }
}

fn cluster_ips(service: &Seen<Service>) -> Vec<Ipv4Addr> {
    let spec = &service.spec;
    let ips = if spec.cluster_ips.is_empty() { std::slice::from_ref(&spec.cluster_ip) } else { &spec.cluster_ips };
    ips.iter().filter_map(|ip| ip.parse().ok()).collect()
}

fn pod_host_ports(pod: &Seen<Pod>) -> Vec<HostPort> {
    let Ok(ip) = pod.status.pod_ip.parse::<Ipv4Addr>() else { return Vec::new() };
    if pod.spec.host_network || pod.is_terminal() {
        return Vec::new();
    }
    let ports = pod.spec.containers.iter().chain(&pod.spec.init_containers).flat_map(|container| &container.ports);
    let mapped = ports.filter(|port| port.host_port != 0).filter_map(|port| {
        let host_ip = port.host_ip.parse::<Ipv4Addr>().ok().filter(|ip| !ip.is_unspecified());
        Some(HostPort {
            pod: format!("{}/{}", pod.namespace(), pod.name()),
            host_ip,
            protocol: Protocol::parse(&port.protocol)?,
            port: port.host_port,
            to: Endpoint { ip, port: port.container_port },
        })
    });
    mapped.collect()
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
