//! `Endpoints` of services with a selector, for those who still read them.

use std::collections::BTreeMap;

use super::{HEADLESS, hostname, is_headless, is_ipv6, pods_of, ports, services_of_pod};
use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::{ENDPOINTS, POD, SERVICE};
use crate::object::tree::json;
use crate::object::view::{Endpoints, Pod, Service};
use crate::object::{Key, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "endpoint-controller",
    component: "endpoint-controller",
    kind: Some(&SERVICE),
    woken_by: &[Wake::By(&POD, services_of_pod), Wake::By(&ENDPOINTS, service_of_endpoints)],
    reconcile,
};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const OURS: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const ADDRESSES_MAX: usize = 1000;

fn service_of_endpoints(_: &Snapshot, change: &Change) -> Vec<Key> {
    change.latest().map(|object| SERVICE.key(object.key().namespace(), object.key().name())).into_iter().collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let current = snap.find::<Endpoints>(key.namespace(), key.name());
    let Some(service) = snap.get::<Service>(key) else {
        // Endpoints that a user made without a service are that user's.
        if let Some(left) = current.filter(|endpoints| endpoints.meta().label(MANAGED_BY) == Some(OURS)) {
            plan.delete(&left, None);
        }
        return;
    };
    if service.is_external_name() || service.spec.selector.is_none() || service.is_deleting() {
        return;
    }
    let (subsets, truncated) = subsets(snap, &service);
    let fill = |object: &mut Tree| {
        object.set("metadata.labels", labels(&service));
        match truncated {
            true => {
                object.set_default("metadata.annotations", json!({}));
                object["metadata"]["annotations"][OVER_CAPACITY] = "truncated".into();
            }
            false => {
                if let Some(Tree::Object(annotations)) = object.at_mut("metadata.annotations") {
                    annotations.remove(OVER_CAPACITY);
                }
            }
        }
        if object.items("subsets") != subsets.as_slice() {
            object.set("subsets", subsets.clone());
        }
    };
    match current {
        Some(current) => plan.update(&current, fill),
        None => {
            let mut object = json!({"metadata": {"name": service.name(), "namespace": service.namespace()}});
            fill(&mut object);
            plan.create(&ENDPOINTS, object);
        }
    }
}

fn labels(service: &Seen<Service>) -> Tree {
    let mut labels = service.meta().labels.clone();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS, "");
    }
    labels.insert(MANAGED_BY, OURS);
    json!(labels)
}

/// Addresses with the same ports, those that are ready and those that are not.
#[derive(Default)]
struct Subset {
    ports: Vec<Tree>,
    ready: Vec<Tree>,
    not_ready: Vec<Tree>,
}

/// Addresses grouped by their ports, and whether there were too many to keep them all.
fn subsets(snap: &Snapshot, service: &Seen<Service>) -> (Vec<Tree>, bool) {
    let mut groups: BTreeMap<String, Subset> = BTreeMap::new();
    let published = service.spec.publish_not_ready_addresses;
    let mut count = 0;
    for pod in pods_of(snap, service, published) {
        let Some(address) = address(service, &pod) else { continue };
        let mut ports = ports::of_endpoints(&pod, service);
        if ports.is_empty() && !(service.spec.ports.is_empty() && is_headless(service)) {
            continue;
        }
        count += 1;
        if count > ADDRESSES_MAX {
            break;
        }
        ports.sort_by_key(|port| port.text("name").to_owned());
        let group = groups.entry(Tree::Array(ports.clone()).to_string()).or_default();
        group.ports = ports;
        let list = if published || pod.is_ready() { &mut group.ready } else { &mut group.not_ready };
        list.push(address);
    }
    (groups.into_values().map(Subset::into_tree).collect(), count > ADDRESSES_MAX)
}

impl Subset {
    fn into_tree(self) -> Tree {
        let lists = [("addresses", self.ready), ("notReadyAddresses", self.not_ready), ("ports", self.ports)];
        let mut tree = json!({});
        for (name, mut list) in lists {
            if name != "ports" {
                list.sort_by(|a, b| a.text("ip").cmp(b.text("ip")));
            }
            if !list.is_empty() {
                tree.set(name, list);
            }
        }
        tree
    }
}

fn address(service: &Seen<Service>, pod: &Seen<Pod>) -> Option<Tree> {
    let family = service.spec.ip_families.first().map(String::as_str);
    let wants_v6 = match family {
        Some(family) => family == "IPv6",
        None => is_ipv6(&service.spec.cluster_ip),
    };
    let ip = pod.status.pod_ips.iter().find(|ip| is_ipv6(&ip.ip) == wants_v6)?;
    let mut address = json!({
        "ip": ip.ip,
        "nodeName": pod.spec.node_name,
        "targetRef": {"kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()},
    });
    if let Some(hostname) = hostname(pod, service) {
        address.set("hostname", hostname);
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn ready_and_unready_addresses_are_kept_apart() {
        let service =
            r#"svc web spec.selector={"app":"web"} spec.clusterIP=10.43.0.9 spec.ports=[{"port":80,"protocol":"TCP"}]"#;
        check(
            &CONTROLLER,
            &format!(
                "{service}
                pod a labels=app:web node=n1 ip=10.42.0.2 ready
                pod b labels=app:web node=n1 ip=10.42.0.3"
            ),
            expect![[r#"
                create endpoints/web endpoints.kubernetes.io/managed-by=endpoint-controller subsets=[{"addresses":[{"ip":"10.42.0.2","nodeName":"n1","targetRef":{"kind":"Pod","name":"a","namespace":"default","uid":"pod-a"}}],"notReadyAddresses":[{"ip":"10.42.0.3","nodeName":"n1","targetRef":{"kind":"Pod","name":"b","namespace":"default","uid":"pod-b"}}],"ports":[{"port":80,"protocol":"TCP"}]}]
            "#]],
        );
    }

    #[test]
    fn endpoints_go_with_their_service_unless_a_user_made_them() {
        let gone = "svc other\n endpoints web labels=endpoints.kubernetes.io/managed-by:endpoint-controller";
        let snap = crate::controllers::testing::snapshot(gone);
        let mut plan = Plan::default();
        reconcile(&snap, &SERVICE.key("default", "web"), &mut plan);
        assert_eq!(plan.to_string(), "delete endpoints/web\n");
    }
}
