//! What the cluster's names mean (the Kubernetes DNS specification 1.1.0).
//!
//! Answers come straight from the snapshot: nothing is precomputed, so nothing can be out of date
//! and an idle zone costs nothing.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::client::{Seen, Snapshot};
use crate::object::view::{Endpoint, EndpointPort, EndpointSlice, Service};

/// The version of the specification, which `dns-version` answers.
const SCHEMA_VERSION: &str = "1.1.0";
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The names that are ours to answer.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Such as `cluster.local`.
    pub domain: String,
    /// Addresses whose reverse names nobody else can know.
    pub own_addresses: Vec<Ipv4Net>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    A,
    Srv,
    Ptr,
    Txt,
    Cname,
    /// Of the types above, all there are.
    Any,
    /// A type that our names do not have.
    Other,
}

impl Asked {
    fn wants(self, kind: Self) -> bool {
        self == kind || self == Self::Any
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Srv { port: u16, weight: u16, target: String },
    Ptr(String),
    Txt(String),
    Cname(String),
}

/// One record; names have no final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub data: Data,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    pub answers: Vec<Record>,
    /// Addresses of what the answers point to.
    pub additional: Vec<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name exists; there may be no record of the type asked for.
    Known(Records),
    /// Ours, and there is no such name.
    NoSuchName,
    /// A service that stands for a name elsewhere, which has to be looked up there.
    Alias { record: Record, target: String },
    /// Not ours: ask upstream.
    Elsewhere,
}

impl Zone {
    /// Answers a question about `name`, which is lower-case and has no final dot.
    pub fn answer(&self, snap: &Snapshot, name: &str, asked: Asked) -> Answer {
        if let Some(reversed) = name.strip_suffix(".in-addr.arpa") {
            return self.reverse(snap, name, reversed, asked);
        }
        let Some(inner) = name
            .strip_suffix(&self.domain)
            .and_then(|inner| inner.strip_suffix('.').or(inner.is_empty().then_some("")))
        else {
            return Answer::Elsewhere;
        };
        let labels: Vec<&str> = inner.split('.').rev().collect();
        match labels.as_slice() {
            ["" | "svc" | "pod"] => Answer::Known(Records::default()),
            ["dns-version"] => known(name, asked, Asked::Txt, [Data::Txt(SCHEMA_VERSION.into())]),
            ["svc" | "pod", namespace] => {
                exists(snap.object(&crate::object::Key::of("namespaces", "", namespace)).is_some())
            }
            ["pod", namespace, ip] => self.pod(snap, name, namespace, ip, asked),
            ["svc", namespace, service, rest @ ..] => match snap.find::<Service>(namespace, service) {
                Some(service) => self.service(snap, name, &service, rest, asked),
                None => Answer::NoSuchName,
            },
            _ => Answer::NoSuchName,
        }
    }

    fn pod(&self, snap: &Snapshot, name: &str, namespace: &str, dashed: &str, asked: Asked) -> Answer {
        let known_namespace = snap.object(&crate::object::Key::of("namespaces", "", namespace)).is_some();
        match dashed.replace('-', ".").parse() {
            Ok(ip) if known_namespace => known(name, asked, Asked::A, [Data::A(ip)]),
            _ => Answer::NoSuchName,
        }
    }

    fn service(&self, snap: &Snapshot, name: &str, service: &Seen<Service>, rest: &[&str], asked: Asked) -> Answer {
        if service.is_external_name() {
            let target = service.spec.external_name.trim_end_matches('.').to_owned();
            let record = Record { name: name.into(), data: Data::Cname(target.clone()) };
            return if rest.is_empty() { Answer::Alias { record, target } } else { Answer::NoSuchName };
        }
        match rest {
            [] if service.is_headless() => {
                let members = self.members(snap, service);
                // A headless service whose endpoints are all gone has no name either.
                exists_with(
                    !members.is_empty(),
                    known(name, asked, Asked::A, unique(members.iter().map(|(_, ip)| Data::A(*ip)))),
                )
            }
            [] => known(name, asked, Asked::A, cluster_ips(service).map(Data::A)),
            [protocol, port] if protocol.starts_with('_') && port.starts_with('_') => {
                self.srv(snap, name, service, &port[1..], &protocol[1..], asked)
            }
            [host] if service.is_headless() => {
                let members = self.members(snap, service).into_iter().filter(|(member, _)| member == host);
                let ips: Vec<Data> = unique(members.map(|(_, ip)| Data::A(ip)));
                exists_with(!ips.is_empty(), known(name, asked, Asked::A, ips))
            }
            _ => Answer::NoSuchName,
        }
    }

    fn srv(
        &self,
        snap: &Snapshot,
        name: &str,
        service: &Seen<Service>,
        port: &str,
        protocol: &str,
        asked: Asked,
    ) -> Answer {
        let base = format!("{}.{}.svc.{}", service.name(), service.namespace(), self.domain);
        let mut targets: Vec<(u16, String, Ipv4Addr)> = Vec::new();
        if service.is_headless() {
            for slice in slices(snap, service) {
                for known in slice.ports.iter().filter(|known| port_is(known, port, protocol)) {
                    for (host, ip) in ready(service, &slice) {
                        targets.push((known.port.unwrap_or_default(), format!("{host}.{base}"), ip));
                    }
                }
            }
        } else {
            let matching = |known: &&crate::object::view::ServicePort| {
                known.name.eq_ignore_ascii_case(port) && protocol_name(&known.protocol).eq_ignore_ascii_case(protocol)
            };
            for known in service.spec.ports.iter().filter(matching) {
                targets.extend(cluster_ips(service).map(|ip| (known.port, base.clone(), ip)));
            }
        }
        if targets.is_empty() {
            return Answer::NoSuchName;
        }
        let weight = (100 / targets.len()).max(1) as u16;
        let Answer::Known(mut records) = known(
            name,
            asked,
            Asked::Srv,
            unique(targets.iter().map(|(port, target, _)| Data::Srv { port: *port, weight, target: target.clone() })),
        ) else {
            return Answer::NoSuchName;
        };
        if !records.answers.is_empty() {
            let address =
                |(_, target, ip): &(u16, String, Ipv4Addr)| Record { name: target.clone(), data: Data::A(*ip) };
            records.additional = targets.iter().map(address).collect();
        }
        Answer::Known(records)
    }

    /// The endpoints that a headless service's name stands for, by host name.
    fn members(&self, snap: &Snapshot, service: &Seen<Service>) -> Vec<(String, Ipv4Addr)> {
        slices(snap, service).iter().flat_map(|slice| ready(service, slice)).collect()
    }

    fn reverse(&self, snap: &Snapshot, name: &str, reversed: &str, asked: Asked) -> Answer {
        let forward: Vec<&str> = reversed.rsplit('.').collect();
        let Ok(ip) = forward.join(".").parse::<Ipv4Addr>() else { return Answer::Elsewhere };
        for service in snap.list::<Service>("") {
            let base = || format!("{}.{}.svc.{}", service.name(), service.namespace(), self.domain);
            if cluster_ips(&service).any(|own| own == ip) {
                return known(name, asked, Asked::Ptr, [Data::Ptr(base())]);
            }
            if service.is_headless()
                && let Some((host, _)) = self.members(snap, &service).into_iter().find(|(_, member)| *member == ip)
            {
                return known(name, asked, Asked::Ptr, [Data::Ptr(format!("{host}.{}", base()))]);
            }
        }
        if self.own_addresses.iter().any(|net| net.contains(&ip)) { Answer::NoSuchName } else { Answer::Elsewhere }
    }
}

fn slices(snap: &Snapshot, service: &Seen<Service>) -> Vec<Seen<EndpointSlice>> {
    let mut slices = snap.list::<EndpointSlice>(service.namespace());
    slices
        .retain(|slice| slice.address_type == "IPv4" && slice.meta().label(SERVICE_NAME_LABEL) == Some(service.name()));
    slices
}

/// Host names and addresses of the endpoints that may be told to clients.
fn ready(service: &Seen<Service>, slice: &Seen<EndpointSlice>) -> Vec<(String, Ipv4Addr)> {
    let told =
        |endpoint: &&Endpoint| service.spec.publish_not_ready_addresses || endpoint.conditions.ready.unwrap_or(true);
    let named = |endpoint: &Endpoint| {
        let ip: Ipv4Addr = endpoint.addresses.first()?.parse().ok()?;
        let host = endpoint.hostname.clone().filter(|host| !host.is_empty());
        Some((host.unwrap_or_else(|| ip.to_string().replace('.', "-")).to_lowercase(), ip))
    };
    slice.endpoints.iter().filter(told).filter_map(named).collect()
}

fn cluster_ips(service: &Seen<Service>) -> impl Iterator<Item = Ipv4Addr> {
    let spec = &service.spec;
    let ips = if spec.cluster_ips.is_empty() { std::slice::from_ref(&spec.cluster_ip) } else { &spec.cluster_ips };
    ips.iter().filter_map(|ip| ip.parse().ok())
}

fn port_is(known: &EndpointPort, name: &str, protocol: &str) -> bool {
    known.name.as_deref().unwrap_or_default().eq_ignore_ascii_case(name)
        && protocol_name(known.protocol.as_deref().unwrap_or_default()).eq_ignore_ascii_case(protocol)
}

fn protocol_name(protocol: &str) -> &str {
    if protocol.is_empty() { "TCP" } else { protocol }
}

/// A name that exists, with `data` if its kind was asked for.
fn known(name: &str, asked: Asked, kind: Asked, data: impl IntoIterator<Item = Data>) -> Answer {
    let mut records = Records::default();
    if asked.wants(kind) {
        records.answers = data.into_iter().map(|data| Record { name: name.into(), data }).collect();
    }
    Answer::Known(records)
}

fn exists(exists: bool) -> Answer {
    exists_with(exists, Answer::Known(Records::default()))
}

fn exists_with(exists: bool, answer: Answer) -> Answer {
    if exists { answer } else { Answer::NoSuchName }
}

fn unique(data: impl Iterator<Item = Data>) -> Vec<Data> {
    let mut all: Vec<Data> = Vec::new();
    for one in data {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

#[cfg(test)]
#[path = "zone_tests.rs"]
mod tests;
