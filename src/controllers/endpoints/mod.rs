//! Endpoints and endpoint slices: which addresses stand behind each service.
//!
//! [`slices`] keeps the slices that proxies and DNS read; [`legacy`] keeps the older `Endpoints`;
//! [`mirror`] makes slices from `Endpoints` that users write for services without a selector.

pub mod legacy;
pub mod mirror;
mod pack;
mod ports;
pub mod slices;
mod write;

use crate::client::{Change, Seen, Snapshot};
use crate::object::view::{Pod, Service};
use crate::object::{Key, StringMap};

/// Label on slices and endpoints: who keeps them.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Services that select the pod, or selected it before it changed.
fn services_of_pod(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(namespace) = change.latest().map(|pod| pod.key().namespace()) else { return Vec::new() };
    if let (Some(before), Some(after)) = (&change.before, &change.after)
        && !matters(&Seen::new(before), &Seen::new(after))
    {
        return Vec::new();
    }
    let services = snap.list::<Service>(namespace).into_iter();
    services
        .filter(|service| change.states().any(|pod| selects(service, &pod.meta().labels)))
        .map(|service| service.key().clone())
        .collect()
}

/// Whether a change of a pod can change any endpoint.
fn matters(before: &Option<Seen<Pod>>, after: &Option<Seen<Pod>>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return true };
    before.meta().labels != after.meta().labels
        || before.is_deleting() != after.is_deleting()
        || before.is_ready() != after.is_ready()
        || before.is_terminal() != after.is_terminal()
        || before.status.pod_ips != after.status.pod_ips
        || before.spec.node_name != after.spec.node_name
}

fn selects(service: &Service, labels: &StringMap) -> bool {
    let Some(selector) = service.spec.selector.as_ref().filter(|selector| !selector.is_empty()) else { return false };
    !service.is_external_name() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The pods that stand behind a service: those with an address that are not finished.
fn pods_of(snap: &Snapshot, service: &Seen<Service>, terminating_too: bool) -> Vec<Seen<Pod>> {
    let mut pods = snap.list::<Pod>(service.namespace());
    pods.retain(|pod| {
        !pod.is_terminal()
            && !pod.status.pod_ips.is_empty()
            && (terminating_too || !pod.is_deleting())
            && selects(service, &pod.meta().labels)
    });
    pods
}

/// A pod's own host name counts when its subdomain is the service.
fn hostname<'a>(pod: &'a Pod, service: &Seen<Service>) -> Option<&'a str> {
    (!pod.spec.hostname.is_empty() && pod.spec.subdomain == service.name()).then_some(pod.spec.hostname.as_str())
}

fn is_ipv6(ip: &str) -> bool {
    ip.contains(':')
}

fn is_headless(service: &Service) -> bool {
    matches!(service.spec.cluster_ip.as_str(), "" | "None")
}
