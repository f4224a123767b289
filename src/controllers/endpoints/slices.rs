//! Endpoint slices of services with a selector.
//!
//! One group of slices for each address family and each set of port numbers among the pods. A
//! service without any endpoint keeps one empty slice per family.

use super::write::{Group, Groups, Slices};
use super::{HEADLESS, MANAGED_BY, SERVICE_NAME, hostname, is_headless, is_ipv6, pods_of, ports, services_of_pod};
use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::ownership::controller_ref;
use crate::object::kind::{ENDPOINT_SLICE, NODE, POD, SERVICE};
use crate::object::tree::{Map, json};
use crate::object::view::{EndpointSlice, Node, Pod, Service};
use crate::object::{Key, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "endpointslice-controller",
    component: "endpoint-slice-controller",
    kind: Some(&SERVICE),
    woken_by: &[
        Wake::By(&POD, services_of_pod),
        Wake::By(&ENDPOINT_SLICE, service_of_slice),
        Wake::By(&NODE, services_near_node),
    ],
    reconcile,
};

const OURS: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";

fn service_of_slice(_: &Snapshot, change: &Change) -> Vec<Key> {
    let slice = change.latest().filter(|slice| slice.meta().label(MANAGED_BY) == Some(OURS));
    let service = slice.and_then(|slice| Some(SERVICE.key(slice.key().namespace(), slice.meta().label(SERVICE_NAME)?)));
    service.into_iter().collect()
}

/// A node that comes, goes or changes zone changes the endpoints of its pods.
fn services_near_node(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let zone = |node: &Option<_>| {
        node.as_ref().map(|node: &crate::object::ObjectRef| node.meta().labels.get(ZONE).map(str::to_owned))
    };
    if zone(&change.before) == zone(&change.after) {
        return Vec::new();
    }
    let Some(node) = change.latest() else { return Vec::new() };
    let pods = snap.pods_on_node(node.key().name());
    let states = pods.iter().map(|pod| Change { before: None, after: Some(pod.object().clone()) });
    states.flat_map(|change| services_of_pod(snap, &change)).collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(service) = snap.get::<Service>(key) else { return }; // gone: the garbage collector takes its slices
    if service.is_deleting() || service.is_external_name() || service.spec.selector.is_none() {
        return;
    }
    let pods = pods_of(snap, &service, true);
    let existing = slices_of(snap, &service);
    let families = families(&service);
    for slice in existing.iter().filter(|slice| !families.contains(&slice.address_type.as_str())) {
        plan.delete(slice, None);
    }
    for family in families {
        let mine: Vec<_> = existing.iter().filter(|slice| slice.address_type == family).cloned().collect();
        reconcile_family(snap, &service, family, &pods, mine, plan);
    }
}

fn slices_of(snap: &Snapshot, service: &Seen<Service>) -> Vec<Seen<EndpointSlice>> {
    let mut slices: Vec<Seen<EndpointSlice>> = snap.dependents(service.uid()).filter_map(Seen::new).collect();
    slices.retain(|slice: &Seen<EndpointSlice>| slice.meta().label(MANAGED_BY) == Some(OURS) && !slice.is_deleting());
    slices
}

fn families(service: &Service) -> Vec<&'static str> {
    let of = |family: &str| if family == "IPv6" { "IPv6" } else { "IPv4" };
    match service.spec.ip_families.as_slice() {
        [] if is_ipv6(&service.spec.cluster_ip) => vec!["IPv6"],
        [] => vec!["IPv4"],
        families => families.iter().map(|family| of(family)).collect(),
    }
}

fn reconcile_family(
    snap: &Snapshot,
    service: &Seen<Service>,
    family: &'static str,
    pods: &[Seen<Pod>],
    existing: Vec<Seen<EndpointSlice>>,
    plan: &mut Plan,
) {
    let mut groups = Groups::default();
    for pod in pods {
        if let Some(endpoint) = endpoint(snap, service, pod, family) {
            groups.add(ports::of_slice(pod, service), endpoint);
        }
    }
    if let Some(traffic) = &service.spec.traffic_distribution {
        groups.iter_mut().for_each(|group| add_hints(group, traffic));
    }
    let slices = Slices {
        namespace: service.namespace().into(),
        prefix: format!("{}-", service.name()),
        owner: controller_ref(service),
        labels: labels(service),
        annotations: None,
        family,
        placeholder: true,
    };
    slices.write(groups, existing, plan);
}

/// A slice has its service's labels, and those that tell whose it is.
fn labels(service: &Seen<Service>) -> Tree {
    let reserved = |key: &str| [MANAGED_BY, SERVICE_NAME, HEADLESS].contains(&key);
    let inherited = service.meta().labels.iter().filter(|(key, _)| !reserved(key));
    let mut labels: Map = inherited.map(|(key, value)| (key.to_owned(), Tree::from(value))).collect();
    if is_headless(service) {
        labels.insert(HEADLESS.into(), "".into());
    }
    labels.insert(SERVICE_NAME.into(), service.name().into());
    labels.insert(MANAGED_BY.into(), OURS.into());
    Tree::Object(labels)
}

fn endpoint(snap: &Snapshot, service: &Seen<Service>, pod: &Seen<Pod>, family: &str) -> Option<Tree> {
    let wants_v6 = family == "IPv6";
    let addresses: Vec<&str> =
        pod.status.pod_ips.iter().map(|ip| ip.ip.as_str()).filter(|ip| is_ipv6(ip) == wants_v6).collect();
    let node = snap.find::<Node>("", &pod.spec.node_name);
    let published = service.spec.publish_not_ready_addresses;
    if addresses.is_empty() || (node.is_none() && !published) {
        return None;
    }
    let (serving, terminating) = (pod.is_ready(), pod.is_deleting());
    let mut endpoint = json!({
        "addresses": addresses,
        "conditions": {
            "ready": published || (serving && !terminating), "serving": serving, "terminating": terminating,
        },
        "targetRef": {"kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()},
    });
    if pod.is_scheduled() {
        endpoint.set("nodeName", pod.spec.node_name.as_str());
    }
    if let Some(zone) = node.as_ref().and_then(|node| node.meta().label(ZONE)) {
        endpoint.set("zone", zone);
    }
    if let Some(hostname) = hostname(pod, service) {
        endpoint.set("hostname", hostname);
    }
    Some(endpoint)
}

/// Tells proxies which endpoints are near, if every one that is ready is somewhere known.
fn add_hints(group: &mut Group, traffic: &str) {
    let same_node = traffic == "PreferSameNode";
    let is_ready = |endpoint: &Tree| endpoint.flag("conditions.ready") == Some(true);
    let all_placed = group
        .desired
        .values()
        .filter(|endpoint| is_ready(endpoint))
        .all(|endpoint| if same_node { endpoint.has("nodeName") } else { endpoint.has("zone") });
    if !all_placed {
        return;
    }
    for endpoint in group.desired.values_mut().filter(|endpoint| is_ready(endpoint)) {
        let (zone, node) = (endpoint.text("zone").to_owned(), endpoint.text("nodeName").to_owned());
        if !zone.is_empty() {
            endpoint.set("hints.forZones", json!([{"name": zone}]));
        }
        if same_node {
            endpoint.set("hints.forNodes", json!([{"name": node}]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    const SERVICE: &str = r#"svc web spec.selector={"app":"web"} spec.clusterIP=10.43.0.9 spec.ports=[{"name":"http","port":80,"targetPort":8080,"protocol":"TCP"}]"#;

    #[test]
    fn pods_with_an_address_become_endpoints() {
        check(
            &CONTROLLER,
            &format!(
                "{SERVICE}
                node n1
                pod a labels=app:web node=n1 ip=10.42.0.2 ready
                pod b labels=app:web node=n1 ip=10.42.0.3
                pod c labels=app:other node=n1 ip=10.42.0.4 ready
                pod d labels=app:web node=n1 ip=10.42.0.5 phase=Failed"
            ),
            expect![[r#"
                create endpointslice/web-* endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io kubernetes.io/service-name=web endpoints=[{"addresses":["10.42.0.2"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"a","namespace":"default","uid":"pod-a"}},{"addresses":["10.42.0.3"],"conditions":{"ready":false,"serving":false,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"b","namespace":"default","uid":"pod-b"}}]
            "#]],
        );
    }

    #[test]
    fn no_pods_leave_one_empty_slice() {
        check(
            &CONTROLLER,
            SERVICE,
            expect![[r#"
                create endpointslice/web-* endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io kubernetes.io/service-name=web endpoints=[]
            "#]],
        );
    }

    #[test]
    fn services_without_selector_are_left_to_their_users() {
        check(&CONTROLLER, "svc web spec.clusterIP=10.43.0.9", expect![[""]]);
    }
}
