//! UDP flows that still go where a service used to send them.
//!
//! The kernel asks the rules once for each flow, and a client that keeps sending keeps its flow alive:
//! its packets would go to an endpoint that is gone, or to nobody, for ever. Such flows are made
//! forgotten when the endpoints of a UDP port change; the next packet then finds the rules.
//! TCP needs none of this: a dead connection is noticed and made anew.

mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;

use super::model::{Endpoint, Model, Protocol};
use crate::base::service::Scope;

/// Where one port may be sent to, by where clients send to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    addresses: BTreeMap<Endpoint, BTreeSet<Endpoint>>,
    /// Ports of the node itself, whatever its addresses.
    node_ports: BTreeMap<u16, BTreeSet<Endpoint>>,
}

/// A flow as the kernel tracks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where the client sends.
    to: Endpoint,
    /// Who answers.
    from: Endpoint,
    /// The kernel's own words for its key.
    tuple: Vec<u8>,
}

/// The UDP ports of `model`.
pub fn served(model: &Model) -> Served {
    let mut served = Served::default();
    for port in model.services.iter().filter(|port| port.protocol == Protocol::Udp) {
        let mut put = |ips: &[Ipv4Addr], endpoints: &[Endpoint]| {
            for ip in ips {
                let at = Endpoint { ip: *ip, port: port.port };
                served.addresses.entry(at).or_default().extend(endpoints);
            }
        };
        put(&port.cluster_ips, &port.internal.endpoints);
        put(&port.external_ips, &port.external.endpoints);
        if let Some(node_port) = port.node_port {
            served.node_ports.entry(node_port).or_default().extend(&port.external.endpoints);
        }
    }
    for port in model.host_ports.iter().filter(|port| port.protocol == Protocol::Udp) {
        match port.host_ip {
            Some(ip) => served.addresses.entry(Endpoint { ip, port: port.port }).or_default().insert(port.to),
            None => served.node_ports.entry(port.port).or_default().insert(port.to),
        };
    }
    served
}

impl Served {
    /// Whether nobody would send `flow` there now. Without endpoints a flow is left alone: it does no
    /// harm, and its endpoint may be on its way back.
    fn is_stale(&self, flow: &Flow) -> bool {
        let is_stale = |endpoints: &BTreeSet<Endpoint>| !endpoints.is_empty() && !endpoints.contains(&flow.from);
        match (self.addresses.get(&flow.to), self.node_ports.get(&flow.to.port)) {
            (Some(endpoints), _) => is_stale(endpoints),
            // The same port of another machine is none of ours; only what was sent elsewhere is.
            (None, Some(endpoints)) => flow.from != flow.to && is_stale(endpoints),
            (None, None) => false,
        }
    }
}

/// Makes the kernel forget the flows that `served` would not send where they go. How many there were.
pub async fn clean(served: Served) -> io::Result<usize> {
    Scope::blocking(move || {
        let mut table = wire::Table::open()?;
        let stale: Vec<Flow> = table.udp_flows()?.into_iter().filter(|flow| served.is_stale(flow)).collect();
        stale.iter().try_for_each(|flow| table.forget(flow))?;
        Ok(stale.len())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::model::{Backends, ServicePort};

    fn at(text: &str) -> Endpoint {
        let (ip, port) = text.split_once(':').unwrap();
        Endpoint { ip: ip.parse().unwrap(), port: port.parse().unwrap() }
    }

    fn dns(endpoints: &[&str]) -> Served {
        let backends = Backends { endpoints: endpoints.iter().map(|text| at(text)).collect(), local_only: false };
        let port = ServicePort {
            service: "kube-system/dns".into(),
            protocol: Protocol::Udp,
            port: 53,
            cluster_ips: vec!["10.43.0.10".parse().unwrap()],
            external_ips: Vec::new(),
            node_port: Some(30053),
            internal: backends.clone(),
            external: backends,
            affinity_secs: None,
        };
        served(&Model { services: vec![port], ..Model::default() })
    }

    fn is_stale(served: &Served, to: &str, from: &str) -> bool {
        served.is_stale(&Flow { to: at(to), from: at(from), tuple: Vec::new() })
    }

    #[test]
    fn flows_to_former_endpoints_are_stale() {
        let served = dns(&["10.42.0.5:53"]);
        assert!(is_stale(&served, "10.43.0.10:53", "10.42.0.4:53"), "the endpoint is gone");
        assert!(is_stale(&served, "10.43.0.10:53", "10.43.0.10:53"), "there was no endpoint then");
        assert!(is_stale(&served, "192.0.2.1:30053", "10.42.0.4:53"));
        assert!(!is_stale(&served, "10.43.0.10:53", "10.42.0.5:53"));
        assert!(!is_stale(&served, "192.0.2.1:30053", "10.42.0.5:53"));
    }

    #[test]
    fn flows_of_others_are_left_alone() {
        let served = dns(&["10.42.0.5:53"]);
        assert!(!is_stale(&served, "198.51.100.7:53", "198.51.100.7:53"));
        assert!(!is_stale(&served, "198.51.100.7:30053", "198.51.100.7:30053"), "another machine's port");
        assert!(!is_stale(&dns(&[]), "10.43.0.10:53", "10.42.0.4:53"), "nobody to send it to instead");
    }
}
