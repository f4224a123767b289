//! Endpoint slices that mirror `Endpoints` which somebody wrote for a service without a selector.

use super::write::{Groups, Slices};
use super::{MANAGED_BY, SERVICE_NAME, is_ipv6};
use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::ownership::controller_ref;
use crate::object::kind::{ENDPOINT_SLICE, ENDPOINTS, SERVICE};
use crate::object::tree::json;
use crate::object::view::{EndpointPort, EndpointSlice, EndpointSubset, Endpoints, Service};
use crate::object::{Key, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "endpointslicemirroring-controller",
    component: "endpoint-slice-mirroring-controller",
    kind: Some(&ENDPOINTS),
    woken_by: &[Wake::By(&SERVICE, endpoints_of_service), Wake::OwnerOf(&ENDPOINT_SLICE)],
    reconcile,
};

const OURS: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotations that say nothing about the slices.
const NOT_MIRRORED: &[&str] =
    &["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];
const ADDRESSES_MAX: usize = 1000;

fn endpoints_of_service(_: &Snapshot, change: &Change) -> Vec<Key> {
    change.latest().map(|service| ENDPOINTS.key(service.key().namespace(), service.key().name())).into_iter().collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(endpoints) = snap.get::<Endpoints>(key) else { return }; // gone: so will its slices be
    let existing: Vec<Seen<EndpointSlice>> = snap.owned_by(endpoints.uid());
    let mirrored =
        existing.into_iter().filter(|slice: &Seen<EndpointSlice>| slice.meta().label(MANAGED_BY) == Some(OURS));
    let mut existing: Vec<_> = mirrored.collect();
    if !is_wanted(snap, &endpoints) {
        return existing.iter().for_each(|slice| plan.delete(slice, None));
    }
    for family in ["IPv4", "IPv6"] {
        let (mine, others) = existing.into_iter().partition(|slice| slice.address_type == family);
        existing = others;
        write_family(&endpoints, family, mine, plan);
    }
}

fn is_wanted(snap: &Snapshot, endpoints: &Seen<Endpoints>) -> bool {
    let service = snap.find::<Service>(endpoints.namespace(), endpoints.name());
    let is_manual = service.is_some_and(|service| service.spec.selector.is_none() && !service.is_deleting());
    let meta = endpoints.meta();
    is_manual
        && !endpoints.is_deleting()
        && meta.label(SKIP) != Some("true")
        && meta.annotation("control-plane.alpha.kubernetes.io/leader").is_none()
}

fn write_family(
    endpoints: &Seen<Endpoints>,
    family: &'static str,
    existing: Vec<Seen<EndpointSlice>>,
    plan: &mut Plan,
) {
    let mut groups = Groups::default();
    for subset in &endpoints.subsets {
        for endpoint in mirrored(subset, family) {
            groups.add(subset.ports.iter().map(port).collect(), endpoint);
        }
    }
    let mut labels = endpoints.meta().labels.clone();
    labels.insert(SERVICE_NAME, endpoints.name());
    labels.insert(MANAGED_BY, OURS);
    let mut annotations = endpoints.meta().annotations.clone();
    annotations.retain(|key, _| !NOT_MIRRORED.contains(&key));
    let slices = Slices {
        namespace: endpoints.namespace().into(),
        prefix: format!("{}-", endpoints.name()),
        owner: controller_ref(endpoints),
        labels: json!(labels),
        annotations: Some(json!(annotations)),
        family,
        placeholder: false,
    };
    slices.write(groups, existing, plan);
}

fn mirrored(subset: &EndpointSubset, family: &str) -> Vec<Tree> {
    let ready = subset.addresses.iter().map(|address| (address, true));
    let all = ready.chain(subset.not_ready_addresses.iter().map(|address| (address, false))).take(ADDRESSES_MAX);
    let mine = all.filter(|(address, _)| is_ipv6(&address.ip) == (family == "IPv6"));
    let endpoints = mine.map(|(address, ready)| {
        let mut endpoint = json!({"addresses": [address.ip], "conditions": {"ready": ready}});
        if let Some(target) = &address.target_ref {
            endpoint.set("targetRef", target.to_tree());
        }
        if let Some(node) = &address.node_name {
            endpoint.set("nodeName", node.as_str());
        }
        if !address.hostname.is_empty() {
            endpoint.set("hostname", address.hostname.as_str());
        }
        endpoint
    });
    endpoints.collect()
}

fn port(port: &EndpointPort) -> Tree {
    let mut tree = json!({
        "name": port.name.as_deref().unwrap_or(""),
        "port": port.port,
        "protocol": port.protocol.as_deref().unwrap_or("TCP"),
    });
    if let Some(app) = &port.app_protocol {
        tree.set("appProtocol", app.as_str());
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn both_families_are_mirrored() {
        check(
            &CONTROLLER,
            r#"
            svc s
            endpoints s subsets=[{"addresses":[{"ip":"192.0.2.9"},{"ip":"2001:db8::1"}],"ports":[{"port":80}]}]
            "#,
            expect![[r#"
                create endpointslice/s-* endpointslice.kubernetes.io/managed-by=endpointslicemirroring-controller.k8s.io kubernetes.io/service-name=s endpoints=[{"addresses":["192.0.2.9"],"conditions":{"ready":true}}]
                create endpointslice/s-* endpointslice.kubernetes.io/managed-by=endpointslicemirroring-controller.k8s.io kubernetes.io/service-name=s endpoints=[{"addresses":["2001:db8::1"],"conditions":{"ready":true}}]
            "#]],
        );
    }

    #[test]
    fn services_with_a_selector_need_no_mirror() {
        check(
            &CONTROLLER,
            r#"
            svc s spec.selector={"app":"web"}
            endpoints s subsets=[{"addresses":[{"ip":"192.0.2.9"}]}]
            "#,
            expect![[""]],
        );
    }
}
