//! What objects take of the quotas of their namespace.
//!
//! Asked by admission for one object that is about to be stored, and by the quota controller for
//! all that are: both must come to the same numbers. Names are those of `spec.hard`.

mod pods;
mod scopes;

use super::quantity::Quantity;
use super::sums::{Sum, amounts};
use super::time::Timestamp;
use super::tree::{Tree, TreePath};

pub use pods::missing as missing_in_pod;
pub use scopes::covers;

const ONE: i64 = 1;
/// Resources whose plain name is a count, too.
const COUNTED: &[&str] =
    &["configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets"];
const SERVICES: &[&str] = &["services", "services.loadbalancers", "services.nodeports"];
const CLAIMS: &[&str] = &["persistentvolumeclaims", "requests.storage"];
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
/// What no quota is about.
const UNCOUNTED: &[&str] = &["events", "events.events.k8s.io"];

/// Whether quotas can be about objects of `resource` at all.
pub fn is_counted(resource: &str) -> bool {
    !UNCOUNTED.contains(&resource)
}

/// Whether the quota resource `name` speaks of objects of `resource`.
pub fn speaks_of(name: &str, resource: &str) -> bool {
    if name.strip_prefix("count/") == Some(resource) {
        return true;
    }
    match resource {
        "pods" => pods::is_limited(name),
        "services" => SERVICES.contains(&name),
        "persistentvolumeclaims" => {
            CLAIMS.contains(&name) || name.split_once(OF_CLASS).is_some_and(|(_, what)| CLAIMS.contains(&what))
        }
        _ => name == resource && COUNTED.contains(&resource),
    }
}

/// The resource besides `count/…` whose objects a quota resource counts or adds up.
pub fn resource_of(name: &str) -> Option<&str> {
    if let Some(resource) = name.strip_prefix("count/") {
        return Some(resource);
    }
    let mut known = COUNTED.iter().chain(&["pods", "services"]);
    known.find(|resource| speaks_of(name, resource)).copied()
}

/// What an object of `resource` takes, as of `now`.
pub fn use_of(resource: &str, object: &Tree, now: Timestamp) -> Sum {
    let mut used = match resource {
        "pods" => pods::use_of(object, now),
        "services" => use_of_service(object),
        "persistentvolumeclaims" => use_of_claim(object),
        _ => Sum::new(),
    };
    used.insert(format!("count/{resource}"), Quantity::from_int(ONE));
    if COUNTED.contains(&resource) {
        used.insert(resource.to_owned(), Quantity::from_int(ONE));
    }
    used
}

fn use_of_service(service: &Tree) -> Sum {
    let ports = service.items("spec.ports");
    let balanced = service.text("spec.type") == "LoadBalancer";
    let node_ports = match service.text("spec.type") {
        "LoadBalancer" if service.flag("spec.allocateLoadBalancerNodePorts") == Some(false) => {
            ports.iter().filter(|port| port.int("nodePort").unwrap_or(0) != 0).count()
        }
        "LoadBalancer" | "NodePort" => ports.len(),
        _ => 0,
    };
    [("services", ONE), ("services.loadbalancers", i64::from(balanced)), ("services.nodeports", node_ports as i64)]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), Quantity::from_int(count)))
        .collect()
}

fn use_of_claim(claim: &Tree) -> Sum {
    let annotated =
        claim.map("metadata.annotations").and_then(|map| map.get("volume.beta.kubernetes.io/storage-class"));
    let class = annotated.and_then(Tree::as_str).unwrap_or_else(|| claim.text("spec.storageClassName"));
    let asked = amounts(claim, "spec.resources.requests").remove("storage");
    let granted = amounts(claim, "status.allocatedResources").remove("storage");
    let mut used = Sum::from([("persistentvolumeclaims".to_owned(), Quantity::from_int(ONE))]);
    if let Some(asked) = asked {
        used.insert("requests.storage".into(), granted.map_or(asked, |granted| granted.max(asked)).rounded_up());
    }
    if !class.is_empty() {
        let of_class: Vec<_> =
            used.iter().map(|(what, amount)| (format!("{class}{OF_CLASS}{what}"), *amount)).collect();
        used.extend(of_class);
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    fn used(resource: &str, object: Tree) -> String {
        let used = use_of(resource, &object, Timestamp::from_secs(0));
        used.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn services_take_node_ports_by_type() {
        let service =
            |kind: &str| json!({"spec": {"type": kind, "ports": [{"port": 1}, {"port": 2, "nodePort": 31000}]}});
        assert_eq!(
            used("services", service("NodePort")),
            "count/services=1 services=1 services.loadbalancers=0 services.nodeports=2"
        );
        let mut quiet = service("LoadBalancer");
        quiet.set("spec.allocateLoadBalancerNodePorts", false);
        assert_eq!(
            used("services", quiet),
            "count/services=1 services=1 services.loadbalancers=1 services.nodeports=1"
        );
    }

    #[test]
    fn claims_take_storage_of_their_class_too() {
        let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!(
            used("persistentvolumeclaims", claim),
            "count/persistentvolumeclaims=1 gold.storageclass.storage.k8s.io/persistentvolumeclaims=1 \
             gold.storageclass.storage.k8s.io/requests.storage=1Gi persistentvolumeclaims=1 requests.storage=1Gi"
        );
    }

    #[test]
    fn a_name_speaks_of_one_resource() {
        assert_eq!(resource_of("count/widgets.example.com"), Some("widgets.example.com"));
        assert_eq!(resource_of("requests.example.com/gpu"), Some("pods"));
        assert_eq!(resource_of("gold.storageclass.storage.k8s.io/requests.storage"), Some("persistentvolumeclaims"));
        assert_eq!(resource_of("services.nodeports"), Some("services"));
        assert_eq!(resource_of("nonsense"), None);
    }
}
