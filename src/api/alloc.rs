//! Cluster addresses and node ports of services.
//!
//! What is in use is read from the stored services themselves, so nothing can leak or drift; what
//! is given out but not stored yet is remembered until its [`Reservations`] are dropped.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use ipnet::IpNet;

use crate::base::rand::Rand;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::view::Service;
use crate::object::{GroupResource, Status};
use crate::store::{KeyRange, Store};

use super::admission::{Attributes, Operation};
use super::settings::Settings;

const NONE: &str = "None";

pub struct Allocator {
    cidrs: Vec<IpNet>,
    ports: RangeInclusive<u16>,
    store: Store,
    pending: Arc<Mutex<Pending>>,
}

#[derive(Default)]
struct Pending {
    addresses: HashSet<IpAddr>,
    ports: HashSet<(String, u16)>,
}

/// Addresses and ports that nobody else is given while this lives.
#[derive(Default)]
pub struct Reservations {
    addresses: Vec<IpAddr>,
    ports: Vec<(String, u16)>,
    pending: Option<Arc<Mutex<Pending>>>,
}

impl Drop for Reservations {
    fn drop(&mut self) {
        let Some(pending) = &self.pending else { return };
        let mut pending = pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for address in &self.addresses {
            pending.addresses.remove(address);
        }
        for port in &self.ports {
            pending.ports.remove(port);
        }
    }
}

/// What other services have.
#[derive(Default)]
struct Used {
    addresses: HashSet<IpAddr>,
    ports: HashSet<(String, u16)>,
}

impl Allocator {
    pub fn new(settings: &Settings, store: Store) -> Self {
        Self {
            cidrs: settings.service_cidrs.clone(),
            ports: settings.node_ports.clone(),
            store,
            pending: Arc::default(),
        }
    }

    /// Gives a created or updated service the addresses and ports that it needs and does not name.
    pub fn reserve(&self, on: &Attributes<'_>, service: &mut Tree) -> Result<Reservations, Status> {
        if !on.is("services") || !matches!(on.operation, Operation::Create | Operation::Update) {
            return Ok(Reservations::default());
        }
        if let Some(old) = on.old {
            keep_allocated(service, old);
        }
        let mut pending = self.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut used = self.used_by_others(on, service);
        used.addresses.extend(pending.addresses.iter().copied());
        used.ports.extend(pending.ports.iter().cloned());

        let mut errors = FieldErrors::default();
        let mut mine = Reservations::default();
        if service.text("spec.type") == "ExternalName" {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if on.old.is_some_and(|old| old.text("spec.type") != "ExternalName") {
                    service.unset(&format!("spec.{field}"));
                }
            }
        } else {
            self.set_families(service, on.old.is_none(), &mut errors);
            if !errors.is_empty() {
                return Err(errors.into_status(&on.resource.gvk("v1"), service.text("metadata.name")));
            }
            self.set_addresses(on.rand, service, &used, &mut mine, &mut errors);
        }
        self.set_ports(on, service, &mut used, &mut mine, &mut errors);
        if !errors.is_empty() {
            return Err(errors.into_status(&on.resource.gvk("v1"), service.text("metadata.name")));
        }
        pending.addresses.extend(mine.addresses.iter().copied());
        pending.ports.extend(mine.ports.iter().cloned());
        mine.pending = Some(self.pending.clone());
        Ok(mine)
    }

    fn used_by_others(&self, on: &Attributes<'_>, service: &Tree) -> Used {
        let mut used = Used::default();
        let state = self.store.state();
        let name = if on.operation == Operation::Create { "" } else { service.text("metadata.name") };
        for object in state.range(&KeyRange::resource(&GroupResource::new("", "services"))) {
            if object.key().namespace() == on.namespace && object.key().name() == name {
                continue;
            }
            let spec = &object.view::<Service>().spec;
            used.addresses.extend(spec.cluster_ips.iter().filter_map(|text| text.parse::<IpAddr>().ok()));
            used.ports
                .extend(spec.ports.iter().filter(|p| p.node_port != 0).map(|p| (p.protocol.clone(), p.node_port)));
            if spec.health_check_node_port != 0 {
                used.ports.insert(("TCP".into(), spec.health_check_node_port));
            }
        }
        used
    }

    /// Says which address families the service is for, where it does not.
    fn set_families(&self, service: &mut Tree, is_new: bool, errors: &mut FieldErrors) {
        let given: Vec<&str> = service.items("spec.ipFamilies").iter().filter_map(Tree::as_str).collect();
        let served: Vec<&str> = self.cidrs.iter().map(family).collect();
        let of_addresses: Vec<&str> = service
            .items("spec.clusterIPs")
            .iter()
            .filter_map(|ip| IpAddr::from_str(ip.as_str()?).ok())
            .map(|ip| if ip.is_ipv4() { "IPv4" } else { "IPv6" })
            .collect();
        let policy = match service.text("spec.ipFamilyPolicy") {
            "" if !is_new && (given.len() > 1 || of_addresses.len() > 1) => "RequireDualStack",
            "" => "SingleStack",
            policy => policy,
        }
        .to_owned();
        if is_new && policy == "SingleStack" {
            for (list, what) in [(&of_addresses, "cluster IPs"), (&given, "IP families")] {
                if list.len() == 2 {
                    let why =
                        format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                    errors.invalid("spec.ipFamilyPolicy", policy.as_str(), why);
                }
            }
            if !errors.is_empty() {
                return;
            }
        }
        for (at, family) in given.iter().enumerate().filter(|(_, family)| !served.contains(family)) {
            let why = "not configured on this cluster";
            errors.invalid(format!("spec.ipFamilies[{at}]"), *family, why);
        }
        if policy == "RequireDualStack" && served.len() < 2 {
            let why = "this cluster is not configured for dual-stack services";
            errors.invalid("spec.ipFamilyPolicy", policy.as_str(), why);
        }
        let first = given.first().or(of_addresses.first()).or(served.first()).copied().unwrap_or("IPv4");
        let mut families = vec![first];
        if policy != "SingleStack" {
            let second = given.get(1).copied().or_else(|| served.iter().copied().find(|family| *family != first));
            families.extend(second);
        }
        let families: Vec<Tree> = families.into_iter().map(Tree::from).collect();
        service.set("spec.ipFamilyPolicy", policy);
        service.set("spec.ipFamilies", families);
    }

    fn set_addresses(
        &self,
        rand: &dyn Rand,
        service: &mut Tree,
        used: &Used,
        mine: &mut Reservations,
        errors: &mut FieldErrors,
    ) {
        let mut addresses: Vec<String> =
            service.items("spec.clusterIPs").iter().filter_map(Tree::as_str).map(str::to_owned).collect();
        if addresses.is_empty() && !service.text("spec.clusterIP").is_empty() {
            addresses.push(service.text("spec.clusterIP").to_owned());
        }
        if addresses.first().is_some_and(|first| first == NONE) {
            service.set("spec.clusterIP", NONE);
            service.set("spec.clusterIPs", json!([NONE]));
            return;
        }
        let given = json!(addresses);
        let families: Vec<String> =
            service.items("spec.ipFamilies").iter().filter_map(Tree::as_str).map(str::to_owned).collect();
        for (at, wanted) in families.iter().enumerate() {
            let Some(cidr) = self.cidrs.iter().find(|cidr| family(cidr) == wanted) else { continue };
            match addresses.get(at).and_then(|text| IpAddr::from_str(text).ok()) {
                Some(address) => match check_address(address, &self.cidrs, used) {
                    Ok(()) => mine.addresses.push(address),
                    Err(why) => errors.invalid("spec.clusterIPs", given.clone(), why),
                },
                None if addresses.len() > at => (), // validation has words for it
                None => match free_address(rand, cidr, used) {
                    Some(address) => {
                        addresses.push(address.to_string());
                        mine.addresses.push(address);
                    }
                    None => errors.invalid(
                        "spec.clusterIPs",
                        given.clone(),
                        format!("failed to allocate a serviceIP: range is full ({cidr})"),
                    ),
                },
            }
        }
        if let Some(first) = addresses.first() {
            service.set("spec.clusterIP", first.as_str());
            service.set("spec.clusterIPs", json!(addresses));
        }
    }

    fn set_ports(
        &self,
        on: &Attributes<'_>,
        service: &mut Tree,
        used: &mut Used,
        mine: &mut Reservations,
        errors: &mut FieldErrors,
    ) {
        let (rand, dry_run) = (on.rand, on.dry_run);
        let kind = service.text("spec.type").to_owned();
        let allocates = match kind.as_str() {
            "NodePort" => true,
            "LoadBalancer" => service.flag("spec.allocateLoadBalancerNodePorts").unwrap_or(true),
            _ => false,
        };
        let has_ports = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
        // The same number may serve several protocols of one service.
        let mut numbers: Vec<u16> = Vec::new();
        let ports = service.at_mut("spec.ports").and_then(Tree::as_array_mut).map(Vec::as_mut_slice);
        for (at, port) in ports.unwrap_or_default().iter_mut().enumerate().filter(|_| has_ports) {
            let protocol = port.text("protocol").to_owned();
            let asked = port.int("nodePort").filter(|port| *port != 0);
            let number = match asked {
                // Upstream's dry run takes numbers out of range.
                Some(number) if dry_run && !self.in_range(number) => u16::try_from(number).unwrap_or_default(),
                Some(number) => match self.check_port(number, &protocol, used) {
                    Ok(number) => number,
                    Err(why) => {
                        errors.invalid(format!("spec.ports[{at}].nodePort"), number, why);
                        continue;
                    }
                },
                None if !allocates => continue,
                None => {
                    let shared =
                        numbers.iter().copied().find(|number| !used.ports.contains(&(protocol.clone(), *number)));
                    match shared.or_else(|| self.free_port(rand, &protocol, used)) {
                        Some(number) => number,
                        None => {
                            let why = "failed to allocate a nodePort: range is full";
                            errors.invalid(format!("spec.ports[{at}].nodePort"), 0, why);
                            continue;
                        }
                    }
                }
            };
            port.set("nodePort", number);
            numbers.push(number);
            used.ports.insert((protocol.clone(), number));
            mine.ports.push((protocol, number));
        }
        let local = kind == "LoadBalancer" && service.text("spec.externalTrafficPolicy") == "Local";
        let asked = service.int("spec.healthCheckNodePort").filter(|port| *port != 0);
        match (local, asked) {
            (false, _) => drop(service.unset("spec.healthCheckNodePort")),
            (true, Some(number)) => match self.check_port(number, "TCP", used) {
                Ok(number) => mine.ports.push(("TCP".into(), number)),
                Err(why) => errors.invalid("spec.healthCheckNodePort", number, why),
            },
            (true, None) => {
                if let Some(number) = self.free_port(rand, "TCP", used) {
                    service.set("spec.healthCheckNodePort", number);
                    mine.ports.push(("TCP".into(), number));
                }
            }
        }
    }

    fn in_range(&self, number: i64) -> bool {
        u16::try_from(number).is_ok_and(|port| self.ports.contains(&port))
    }

    fn check_port(&self, number: i64, protocol: &str, used: &Used) -> Result<u16, String> {
        let port = u16::try_from(number).ok().filter(|port| self.ports.contains(port)).ok_or_else(|| {
            let (low, high) = (self.ports.start(), self.ports.end());
            format!("provided port is not in the valid range. The range of valid ports is {low}-{high}")
        })?;
        match used.ports.contains(&(protocol.to_owned(), port)) {
            true => Err("provided port is already allocated".into()),
            false => Ok(port),
        }
    }

    /// A port that no protocol uses, so that a service may later add the other protocol.
    fn free_port(&self, rand: &dyn Rand, protocol: &str, used: &Used) -> Option<u16> {
        let (low, len) = (*self.ports.start(), self.ports.len() as u64);
        let start = rand.next_u64() % len.max(1);
        let candidates = (0..len).map(|step| low + ((start + step) % len) as u16);
        let is_free = |port: &u16, protocol: &str| !used.ports.contains(&(protocol.to_owned(), *port));
        let mut quiet = candidates.clone().filter(|port| ["TCP", "UDP", "SCTP"].iter().all(|any| is_free(port, any)));
        quiet.next().or_else(|| candidates.clone().find(|port| is_free(port, protocol)))
    }
}

fn family(cidr: &IpNet) -> &'static str {
    match cidr {
        IpNet::V4(_) => "IPv4",
        IpNet::V6(_) => "IPv6",
    }
}

fn check_address(address: IpAddr, cidrs: &[IpNet], used: &Used) -> Result<(), String> {
    let Some(cidr) = cidrs.iter().find(|cidr| cidr.contains(&address)) else {
        let ranges: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
        return Err(format!(
            "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is {}",
            ranges.join(", ")
        ));
    };
    if address == cidr.network() || matches!(cidr, IpNet::V4(net) if IpAddr::V4(net.broadcast()) == address) {
        return Err(format!("failed to allocate IP {address}: the provided network does not match the current range"));
    }
    match used.addresses.contains(&address) {
        true => Err(format!("failed to allocate IP {address}: provided IP is already allocated")),
        false => Ok(()),
    }
}

/// A free address, from the upper part of the network while there is one: the lower part is for
/// people who choose addresses themselves.
fn free_address(rand: &dyn Rand, cidr: &IpNet, used: &Used) -> Option<IpAddr> {
    let bits = u32::from(cidr.max_prefix_len() - cidr.prefix_len()).min(20);
    let size = 1u64 << bits;
    let last = if cidr.addr().is_ipv4() { size.saturating_sub(1) } else { size };
    let reserved = (size / 16).clamp(16, 256).min(last.saturating_sub(1)).max(1);
    let probe = |from: u64, to: u64| {
        let len = to.saturating_sub(from);
        let start = if len == 0 { 0 } else { rand.next_u64() % len };
        (0..len).map(|step| nth(cidr, from + (start + step) % len)).find(|address| !used.addresses.contains(address))
    };
    probe(reserved, last).or_else(|| probe(1, reserved))
}

fn nth(cidr: &IpNet, n: u64) -> IpAddr {
    match cidr.network() {
        IpAddr::V4(base) => IpAddr::V4((u32::from(base).wrapping_add(n as u32)).into()),
        IpAddr::V6(base) => IpAddr::V6((u128::from(base).wrapping_add(u128::from(n))).into()),
    }
}

/// An update that leaves out what was allocated means to keep it.
fn keep_allocated(service: &mut Tree, old: &Tree) {
    let needs_address = |service: &Tree| service.text("spec.type") != "ExternalName";
    let needs_ports = |service: &Tree| matches!(service.text("spec.type"), "NodePort" | "LoadBalancer");
    if needs_address(service) && needs_address(old) {
        if service.text("spec.clusterIP").is_empty() {
            if let Some(address) = old.at("spec.clusterIP") {
                service.set("spec.clusterIP", address.clone());
            }
        }
        if service.items("spec.clusterIPs").is_empty() && service.at("spec.clusterIP") == old.at("spec.clusterIP") {
            if let Some(addresses) = old.at("spec.clusterIPs") {
                service.set("spec.clusterIPs", addresses.clone());
            }
        }
        for field in ["spec.ipFamilies", "spec.ipFamilyPolicy"] {
            if let Some(value) = old.at(field).filter(|_| !service.has(field)) {
                service.set(field, value.clone());
            }
        }
    }
    if needs_ports(service) && needs_ports(old) {
        let taken: HashSet<i64> = service.items("spec.ports").iter().filter_map(|port| port.int("nodePort")).collect();
        let before: Vec<Tree> = old.items("spec.ports").to_vec();
        let ports = service.at_mut("spec.ports").and_then(Tree::as_array_mut).map(Vec::as_mut_slice);
        for port in ports.unwrap_or_default().iter_mut().filter(|port| port.int("nodePort").unwrap_or(0) == 0) {
            let same = |other: &&Tree| {
                other.int("port") == port.int("port") && other.text("protocol") == port.text("protocol")
            };
            let kept = before.iter().find(same).and_then(|other| other.int("nodePort"));
            if let Some(number) = kept.filter(|number| *number != 0 && !taken.contains(number)) {
                port.set("nodePort", number);
            }
        }
        if service.int("spec.healthCheckNodePort").unwrap_or(0) == 0 {
            if let Some(number) = old.int("spec.healthCheckNodePort").filter(|number| *number != 0) {
                service.set("spec.healthCheckNodePort", number);
            }
        }
    }
    if !needs_ports(service) && needs_ports(old) {
        clear_ports(service, old);
    }
}

/// A service that no longer has node ports gives back those it was allocated.
fn clear_ports(service: &mut Tree, old: &Tree) {
    let numbers = |service: &Tree| -> Vec<i64> {
        service.items("spec.ports").iter().map(|port| port.int("nodePort").unwrap_or(0)).collect()
    };
    if numbers(service) != numbers(old) {
        return;
    }
    let ports = service.at_mut("spec.ports").and_then(Tree::as_array_mut).map(Vec::as_mut_slice);
    ports.unwrap_or_default().iter_mut().for_each(|port| drop(port.unset("nodePort")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::SystemRand;

    #[test]
    fn addresses_come_from_the_upper_part_until_it_is_full() {
        let cidr: IpNet = "10.0.0.0/27".parse().unwrap();
        let rand = SystemRand::seeded(1);
        let mut used = Used::default();
        let mut order = Vec::new();
        while let Some(address) = free_address(&*rand, &cidr, &used) {
            used.addresses.insert(address);
            order.push(address);
        }
        let lower: HashSet<IpAddr> = order[15..].iter().copied().collect();
        let upper: HashSet<IpAddr> = order[..15].iter().copied().collect();
        assert_eq!(order.len(), 30);
        assert!(lower.is_disjoint(&upper) && lower.iter().all(|ip| ip.to_string().len() <= "10.0.0.15".len()));
    }

    #[test]
    fn addresses_of_others_and_of_elsewhere_are_refused() {
        let cidrs = ["10.0.0.0/24".parse().unwrap()];
        let used = Used { addresses: ["10.0.0.9".parse().unwrap()].into(), ..Used::default() };
        let check = |ip: &str| check_address(ip.parse().unwrap(), &cidrs, &used);
        assert_eq!(check("10.0.0.8"), Ok(()));
        assert!(check("10.0.0.9").unwrap_err().ends_with("provided IP is already allocated"));
        assert!(check("10.1.0.9").unwrap_err().contains("not in the valid range"));
    }
}
