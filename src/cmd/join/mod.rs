//! How a machine becomes a node: what agent and server say to each other before the agent has a
//! certificate.
//!
//! The agent fetches the server's authority and compares it with the hash in the join token; from
//! then on it knows whom it talks to. With the token's secret it hands in certificate requests and
//! gets them signed for its node name. A password that it made at its first start keeps others that
//! know the token from taking over the name. It asks again at every start and
//! when a third of its certificates' life is left, which renews everything.

pub mod agent;
pub mod server;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::config::NetworkConfig;

pub const PREFIX: &str = "/v1-skiff/";
const AUTHORITIES: &str = "/v1-skiff/cacerts";
const NODE: &str = "/v1-skiff/node";

/// The user that service rules are read as.
pub const PROXY_USER: &str = "system:kube-proxy";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    node_name: String,
    addresses: Vec<IpAddr>,
    password: String,
    /// Certificate requests in PEM. Only their keys count; the server knows the names.
    kubelet: String,
    proxy: String,
    serving: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    kubelet: String,
    proxy: String,
    serving: String,
    client_ca: String,
    network: Network,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    cluster_cidrs: Vec<IpNet>,
    service_cidrs: Vec<IpNet>,
    node_ports: RangeInclusive<u16>,
    cluster_dns: Vec<IpAddr>,
    cluster_domain: String,
}

impl From<&NetworkConfig> for Network {
    fn from(config: &NetworkConfig) -> Self {
        Self {
            cluster_cidrs: config.cluster_cidrs.clone(),
            service_cidrs: config.service_cidrs.clone(),
            node_ports: config.node_ports.clone(),
            cluster_dns: config.cluster_dns.clone(),
            cluster_domain: config.cluster_domain.clone(),
        }
    }
}

impl From<Network> for NetworkConfig {
    fn from(network: Network) -> Self {
        let Network { cluster_cidrs, service_cidrs, node_ports, cluster_dns, cluster_domain } = network;
        Self { cluster_cidrs, service_cidrs, node_ports, cluster_dns, cluster_domain }
    }
}

/// The names and addresses by which the API calls a node's kubelet.
pub fn kubelet_sans(node: &str, addresses: &[IpAddr]) -> Vec<String> {
    let mut sans = vec![node.to_owned(), "localhost".into(), "127.0.0.1".into()];
    sans.extend(addresses.iter().map(ToString::to_string));
    sans
}
