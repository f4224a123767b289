//! Services and what stands behind them.

use super::common::{Condition, IntOrPercent, Raw, Reference};
use super::selector::LabelSelector;
use crate::object::StringMap;

views! {
    Service = "services",
    Endpoints = "endpoints",
    EndpointSlice = "endpointslices.discovery.k8s.io",
    Ingress = "ingresses.networking.k8s.io",
    IngressClass = "ingressclasses.networking.k8s.io",
    NetworkPolicy = "networkpolicies.networking.k8s.io",
}

fields! {
    Service {
        spec: ServiceSpec,
        status: ServiceStatus,
    }

    ServiceSpec {
        #[serde(rename = "type")]
        kind: String,
        /// Absent and empty both mean that nobody selects its endpoints.
        selector: Option<StringMap>,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        #[serde(rename = "clusterIPs")]
        cluster_ips: Vec<String>,
        #[serde(rename = "externalIPs")]
        external_ips: Vec<String>,
        external_name: String,
        ports: Vec<ServicePort>,
        session_affinity: String,
        session_affinity_config: Option<SessionAffinityConfig>,
        publish_not_ready_addresses: bool,
        ip_families: Vec<String>,
        ip_family_policy: Option<String>,
        internal_traffic_policy: Option<String>,
        external_traffic_policy: String,
        health_check_node_port: u16,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: String,
        load_balancer_source_ranges: Vec<String>,
        load_balancer_class: Option<String>,
        allocate_load_balancer_node_ports: Option<bool>,
        traffic_distribution: Option<String>,
    }

    SessionAffinityConfig {
        #[serde(rename = "clientIP")]
        client_ip: Option<ClientIpConfig>,
    }

    ClientIpConfig {
        timeout_seconds: Option<i64>,
    }

    ServicePort {
        name: String,
        protocol: String,
        app_protocol: Option<String>,
        port: u16,
        target_port: Option<IntOrPercent>,
        node_port: u16,
    }

    ServiceStatus {
        load_balancer: LoadBalancerStatus,
        conditions: Vec<Condition>,
    }

    LoadBalancerStatus {
        ingress: Vec<LoadBalancerIngress>,
    }

    LoadBalancerIngress {
        ip: String,
        hostname: String,
        ip_mode: Option<String>,
    }

    Endpoints {
        subsets: Vec<EndpointSubset>,
    }

    EndpointSubset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<EndpointPort>,
    }

    EndpointAddress {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<Reference>,
    }

    EndpointPort {
        name: Option<String>,
        port: Option<u16>,
        protocol: Option<String>,
        app_protocol: Option<String>,
    }

    EndpointSlice {
        address_type: String,
        endpoints: Vec<Endpoint>,
        ports: Vec<EndpointPort>,
    }

    Endpoint {
        addresses: Vec<String>,
        conditions: EndpointConditions,
        hostname: Option<String>,
        node_name: Option<String>,
        zone: Option<String>,
        target_ref: Option<Reference>,
        hints: Option<Raw>,
    }

    EndpointConditions {
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }

    Ingress {
        spec: IngressSpec,
    }

    IngressSpec {
        ingress_class_name: Option<String>,
        default_backend: Option<IngressBackend>,
        rules: Vec<IngressRule>,
        tls: Vec<IngressTls>,
    }

    IngressTls {
        hosts: Vec<String>,
        secret_name: String,
    }

    IngressRule {
        host: String,
        http: Option<IngressPaths>,
    }

    IngressPaths {
        paths: Vec<IngressPath>,
    }

    IngressPath {
        path: String,
        path_type: String,
        backend: IngressBackend,
    }

    IngressBackend {
        service: Option<IngressService>,
    }

    IngressService {
        name: String,
        port: IngressPort,
    }

    IngressPort {
        name: String,
        number: u16,
    }

    IngressClass {
        spec: IngressClassSpec,
    }

    IngressClassSpec {
        controller: String,
    }

    NetworkPolicy {
        spec: NetworkPolicySpec,
    }

    NetworkPolicySpec {
        pod_selector: LabelSelector,
        policy_types: Vec<String>,
        ingress: Option<Vec<Raw>>,
        egress: Option<Vec<Raw>>,
    }
}

impl Service {
    pub fn is_headless(&self) -> bool {
        self.spec.cluster_ip == "None"
    }

    pub fn is_external_name(&self) -> bool {
        self.spec.kind == "ExternalName"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_reads_as_empty() {
        let read = |text| serde_json::from_str::<EndpointSlice>(text).unwrap();
        assert_eq!(read(r#"{"endpoints":null,"ports":null}"#), EndpointSlice::default());
        assert_eq!(read(r#"{"endpoints":[{"conditions":null,"hints":null}]}"#).endpoints[0].hints, None);
    }
}
