//! What services promise and who keeps it, as far as one node needs to know.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

/// Everything that this node's packets may have to be sent elsewhere for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub services: Vec<ServicePort>,
    pub host_ports: Vec<HostPort>,
    /// By health check port: whose it is, and how many can serve here.
    pub health: BTreeMap<u16, Health>,
}

/// What load balancers outside are told of a service on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `namespace/name`.
    pub service: String,
    pub local_endpoints: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// One port of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `namespace/name`, for people who read the ruleset.
    pub service: String,
    pub protocol: Protocol,
    pub port: u16,
    pub cluster_ips: Vec<Ipv4Addr>,
    /// External and load-balancer addresses.
    pub external_ips: Vec<Ipv4Addr>,
    pub node_port: Option<u16>,
    /// Where traffic from inside the cluster goes.
    pub internal: Backends,
    /// Where traffic from outside goes.
    pub external: Backends,
    /// How long a client sticks to its endpoint.
    pub affinity_secs: Option<u32>,
}

/// Endpoints to choose from, and what it means when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backends {
    pub endpoints: Vec<Endpoint>,
    /// Only this node's endpoints count (`TrafficPolicy: Local`): the client's address is kept,
    /// and a packet that no endpoint here can take is dropped rather than refused.
    pub local_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub ip: Ipv4Addr,
    pub port: u16,
}

/// A port of the node that belongs to one of its pods (`hostPort`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub pod: String,
    /// Unset for every address of the node.
    pub host_ip: Option<Ipv4Addr>,
    pub protocol: Protocol,
    pub port: u16,
    pub to: Endpoint,
}
