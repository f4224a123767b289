//! A model as nftables chains and map elements, and the script that leads from one ruleset to the next.
//!
//! One lookup in a verdict map finds a packet's service whatever their number; a chain of its own
//! then picks an endpoint. Chains are named after what they serve, so that `nft list table` reads
//! like the list of services.

use std::collections::BTreeMap;
use std::fmt::Write;

use ipnet::Ipv4Net;

use super::model::{Backends, Endpoint, HostPort, Model, Protocol, ServicePort};

/// Marks packets whose source must become this node's, so that answers come back through it.
const MASQUERADE_MARK: &str = "0x4000";

/// Facts of the node that every rule depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub table: String,
    pub bridge: String,
    /// All pods of the cluster.
    pub cluster_cidr: Ipv4Net,
    pub service_cidr: Ipv4Net,
}

/// What the kernel should hold besides the fixed part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Rules by chain.
    chains: BTreeMap<String, Vec<String>>,
    /// Elements by map or set; an element of a set has no value.
    elements: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// Sets that remember which client an endpoint has, with their timeout in seconds.
    affinity: BTreeMap<String, u32>,
}

/// The ruleset that `model` asks for.
pub fn ruleset(model: &Model) -> Ruleset {
    let mut rules = Ruleset::default();
    for port in &model.services {
        rules.add_service(port);
    }
    for port in &model.host_ports {
        rules.add_host_port(port);
    }
    rules
}

impl Ruleset {
    fn add_service(&mut self, service: &ServicePort) {
        let ServicePort { protocol, port, .. } = service;
        let name = format!("{}/{protocol}/{port}", service.service);
        let inside = self.add_backends(service, &format!("svc/{name}"), &service.internal, "");
        let mut outside = None;
        if service.node_port.is_some() || !service.external_ips.is_empty() {
            outside = Some(self.add_external(service, &name));
        }
        for ip in &service.cluster_ips {
            self.send(format!("{ip} . {protocol} . {port}"), inside.as_deref());
        }
        let Some(outside) = outside else { return };
        for ip in &service.external_ips {
            self.send(format!("{ip} . {protocol} . {port}"), outside.as_deref());
        }
        if let Some(port) = service.node_port {
            let (map, verdict) = match &outside {
                Some(chain) => ("node-ports", format!("goto {chain}")),
                None => ("unserved-node-ports", "goto refuse".into()),
            };
            self.element(map, format!("{protocol} . {port}"), verdict);
        }
    }

    /// The chain for traffic from outside; none if nobody serves it anywhere.
    fn add_external(&mut self, service: &ServicePort, name: &str) -> Option<String> {
        let chain = format!("ext/{name}");
        let masquerade = format!("meta mark set meta mark | {MASQUERADE_MARK}");
        if !service.external.local_only {
            return self.add_backends(service, &chain, &service.external, &masquerade);
        }
        if service.external.endpoints.is_empty() {
            self.chains.insert(chain.clone(), vec!["drop".into()]);
            return Some(chain);
        }
        self.add_backends(service, &chain, &service.external, "")
    }

    /// A chain that sends its packets to one of the endpoints; none if there is nobody to send to.
    fn add_backends(&mut self, service: &ServicePort, chain: &str, backends: &Backends, first: &str) -> Option<String> {
        if backends.endpoints.is_empty() {
            return None;
        }
        let mut rules: Vec<String> = Vec::new();
        if first.is_empty() && !backends.local_only {
            rules.push(format!("ip saddr != @cluster meta mark set meta mark | {MASQUERADE_MARK}"));
        } else if !first.is_empty() {
            rules.push(first.into());
        }
        match service.affinity_secs {
            Some(secs) => rules.extend(self.add_sticky(chain, service.protocol, &backends.endpoints, secs)),
            None => rules.push(send_to_one_of(service.protocol, &backends.endpoints)),
        }
        for endpoint in &backends.endpoints {
            self.element("hairpins", format!("{0} . {0}", endpoint.ip), String::new());
        }
        self.chains.insert(chain.into(), rules);
        Some(chain.into())
    }

    /// Rules that send a client where it went last time, and remember where it goes now.
    fn add_sticky(&mut self, chain: &str, protocol: Protocol, endpoints: &[Endpoint], secs: u32) -> Vec<String> {
        let mut rules = Vec::new();
        let mut verdicts = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let own = format!("{chain}/{}_{}", endpoint.ip, endpoint.port);
            let set = format!("to/{own}");
            self.affinity.insert(set.clone(), secs);
            let remember = format!("update @{set} {{ ip saddr }}");
            self.chains.insert(own.clone(), vec![remember, send_to_one_of(protocol, std::slice::from_ref(endpoint))]);
            rules.push(format!("ip saddr @{set} goto {own}"));
            verdicts.push(format!("{index} : goto {own}"));
        }
        rules.push(format!("numgen random mod {} vmap {{ {} }}", endpoints.len(), verdicts.join(", ")));
        rules
    }

    fn add_host_port(&mut self, port: &HostPort) {
        let HostPort { protocol, .. } = port;
        let at = port.host_ip.map_or_else(|| "any".to_owned(), |ip| ip.to_string());
        let chain = format!("host/{}/{protocol}/{}_{at}", port.pod, port.port);
        let rules = vec![
            format!("ip saddr != @cluster meta mark set meta mark | {MASQUERADE_MARK}"),
            send_to_one_of(*protocol, std::slice::from_ref(&port.to)),
        ];
        self.element("hairpins", format!("{0} . {0}", port.to.ip), String::new());
        self.chains.insert(chain.clone(), rules);
        match port.host_ip {
            Some(ip) => {
                self.element("host-ip-ports", format!("{ip} . {protocol} . {}", port.port), format!("goto {chain}"))
            }
            None => self.element("host-ports", format!("{protocol} . {}", port.port), format!("goto {chain}")),
        }
    }

    fn send(&mut self, key: String, chain: Option<&str>) {
        match chain {
            Some(chain) => self.element("service-ips", key, format!("goto {chain}")),
            None => self.element("unserved-ips", key, "goto refuse".into()),
        }
    }

    fn element(&mut self, map: &'static str, key: String, value: String) {
        self.elements.entry(map).or_default().insert(key, value);
    }
}

fn send_to_one_of(protocol: Protocol, endpoints: &[Endpoint]) -> String {
    match endpoints {
        [one] => format!("meta l4proto {protocol} dnat to {}:{}", one.ip, one.port),
        many => {
            let choice = |(index, to): (usize, &Endpoint)| format!("{index} : {} . {}", to.ip, to.port);
            let choices: Vec<String> = many.iter().enumerate().map(choice).collect();
            format!(
                "meta l4proto {protocol} dnat ip to numgen random mod {} map {{ {} }}",
                many.len(),
                choices.join(", ")
            )
        }
    }
}

/// The script that makes the table anew with nothing in it yet.
pub fn base_script(node: &Node) -> String {
    let Node { table, bridge, cluster_cidr, service_cidr } = node;
    format!(
        r#"table ip {table}
delete table ip {table}
table ip {table} {{
  set cluster {{ type ipv4_addr; flags interval; elements = {{ {cluster_cidr} }}; }}
  set hairpins {{ type ipv4_addr . ipv4_addr; }}
  map service-ips {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map node-ports {{ type inet_proto . inet_service : verdict; }}
  map host-ports {{ type inet_proto . inet_service : verdict; }}
  map host-ip-ports {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map unserved-ips {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map unserved-node-ports {{ type inet_proto . inet_service : verdict; }}

  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmp type port-unreachable
  }}
  chain services {{
    ip daddr . meta l4proto . th dport vmap @service-ips
    fib daddr type local ip daddr . meta l4proto . th dport vmap @host-ip-ports
    fib daddr type local meta l4proto . th dport vmap @host-ports
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node-ports
  }}
  chain unserved {{
    ip daddr . meta l4proto . th dport vmap @unserved-ips
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @unserved-node-ports
    ip daddr {service_cidr} fib daddr type != local goto refuse
  }}
  chain martians {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    jump services
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump services
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & {MASQUERADE_MARK} != 0 meta mark set meta mark & 0xffffbfff masquerade
    ip saddr . ip daddr @hairpins masquerade
    ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
    ip saddr @cluster ip daddr != @cluster ip daddr != 224.0.0.0/4 oifname != "{bridge}" masquerade
  }}
  chain forward-unserved {{
    type filter hook forward priority filter - 1; policy accept;
    ct state new jump unserved
  }}
  chain output-unserved {{
    type filter hook output priority filter - 1; policy accept;
    ct state new jump unserved
  }}
  chain input-unserved {{
    type filter hook input priority filter - 1; policy accept;
    ct state new jump unserved
  }}
}}
"#
    )
}

/// The script that leads from `old` to `new`; empty when they are the same.
///
/// Order matters inside the transaction: what is referred to exists before, and goes after, what
/// refers to it.
pub fn difference(table: &str, old: &Ruleset, new: &Ruleset) -> String {
    let mut script = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(script, "{text}").expect("writing to a string");
    for (set, secs) in new.affinity.iter().filter(|(set, secs)| old.affinity.get(*set) != Some(secs)) {
        line(format_args!(
            "add set ip {table} {set} {{ type ipv4_addr; flags dynamic,timeout; timeout {secs}s; size 65536; }}"
        ));
    }
    for chain in new.chains.keys().filter(|chain| !old.chains.contains_key(*chain)) {
        line(format_args!("add chain ip {table} {chain}"));
    }
    for (chain, rules) in new.chains.iter().filter(|(chain, rules)| old.chains.get(*chain) != Some(rules)) {
        if old.chains.contains_key(chain) {
            line(format_args!("flush chain ip {table} {chain}"));
        }
        for rule in rules {
            line(format_args!("add rule ip {table} {chain} {rule}"));
        }
    }
    let none = BTreeMap::new();
    let maps: std::collections::BTreeSet<_> = old.elements.keys().chain(new.elements.keys()).collect();
    for map in maps {
        let (before, after) = (old.elements.get(map).unwrap_or(&none), new.elements.get(map).unwrap_or(&none));
        for key in before.keys().filter(|key| before.get(*key) != after.get(*key)) {
            line(format_args!("delete element ip {table} {map} {{ {key} }}"));
        }
        for (key, value) in after.iter().filter(|(key, value)| before.get(*key) != Some(value)) {
            let element = if value.is_empty() { key.clone() } else { format!("{key} : {value}") };
            line(format_args!("add element ip {table} {map} {{ {element} }}"));
        }
    }
    let gone: Vec<_> = old.chains.keys().filter(|chain| !new.chains.contains_key(*chain)).collect();
    for verb in ["flush", "delete"] {
        for chain in &gone {
            line(format_args!("{verb} chain ip {table} {chain}"));
        }
    }
    for set in old.affinity.keys().filter(|set| !new.affinity.contains_key(*set)) {
        line(format_args!("delete set ip {table} {set}"));
    }
    script
}

#[cfg(test)]
#[path = "ruleset_tests.rs"]
mod tests;
