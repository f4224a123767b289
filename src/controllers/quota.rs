//! ResourceQuota: counts what a namespace uses of what it may use.
//!
//! Admission checks writes against these numbers; this controller puts them right when things go.

use std::collections::BTreeMap;

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::RESOURCE_QUOTA;
use crate::object::quantity::Quantity;
use crate::object::tree::json;
use crate::object::view::{Amounts, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use crate::object::{Key, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "resourcequota-controller",
    component: "resourcequota-controller",
    kind: Some(&RESOURCE_QUOTA),
    woken_by: &[Wake::Any(quotas_nearby)],
    reconcile,
};

/// Old names of counts, and the resources they count.
const COUNTED: &[(&str, &str)] = &[
    ("configmaps", "configmaps"),
    ("secrets", "secrets"),
    ("services", "services"),
    ("persistentvolumeclaims", "persistentvolumeclaims"),
    ("replicationcontrollers", "replicationcontrollers"),
    ("resourcequotas", "resourcequotas"),
];

/// Appearing and going change counts; pods also when they finish.
fn quotas_nearby(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(object) = change.latest() else { return Vec::new() };
    let (namespace, resource) = (object.key().namespace(), object.key().resource());
    let came_or_went = change.before.is_none() != change.after.is_none();
    let counts_by_content = matches!(resource, "pods" | "services" | "persistentvolumeclaims");
    if namespace.is_empty() || !(came_or_went || counts_by_content) {
        return Vec::new();
    }
    snap.list::<ResourceQuota>(namespace).iter().map(|quota| quota.key().clone()).collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(quota) = snap.get::<ResourceQuota>(key) else { return };
    let used: BTreeMap<&String, String> =
        quota.spec.hard.keys().map(|name| (name, use_of(snap, &quota, name))).collect();
    let hard = quota.spec.hard.clone();
    plan.status(&quota, json!({"hard": hard, "used": used}));
}

fn use_of(snap: &Snapshot, quota: &Seen<ResourceQuota>, name: &str) -> String {
    let namespace = quota.namespace();
    let counted = name.strip_prefix("count/").or(COUNTED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new));
    if let Some(resource) = counted {
        return snap.range(&format!("{resource}/{namespace}/")).count().to_string();
    }
    if let Some(kind) = name.strip_prefix("services.") {
        let services = snap.list::<Service>(namespace);
        let count = match kind {
            "loadbalancers" => services.iter().filter(|service| service.spec.kind == "LoadBalancer").count(),
            _ => {
                let exposed = services.iter().filter(|s| matches!(s.spec.kind.as_str(), "NodePort" | "LoadBalancer"));
                exposed.flat_map(|service| &service.spec.ports).filter(|port| port.node_port != 0).count()
            }
        };
        return count.to_string();
    }
    if name == "requests.storage" {
        let claims = snap.list::<PersistentVolumeClaim>(namespace);
        return sum(claims.iter().map(|claim| &claim.spec.resources.requests), "storage");
    }
    let pods: Vec<Seen<Pod>> =
        snap.list::<Pod>(namespace).into_iter().filter(|pod| !pod.is_terminal() && in_scope(quota, pod)).collect();
    if name == "pods" {
        return pods.len().to_string();
    }
    let (limits, resource) = match name.split_once('.') {
        Some(("limits", resource)) => (true, resource),
        Some(("requests", resource)) => (false, resource),
        _ => (false, name),
    };
    let containers = pods.iter().flat_map(|pod| &pod.spec.containers);
    sum(
        containers.map(|container| if limits { &container.resources.limits } else { &container.resources.requests }),
        resource,
    )
}

/// Adds up in the finest unit that occurs.
fn sum<'a>(amounts: impl Iterator<Item = &'a Amounts>, name: &str) -> String {
    let mut millis: i64 = 0;
    let mut binary = false;
    for text in amounts.filter_map(|amounts| amounts.get(name)) {
        binary |= text.ends_with('i');
        millis = millis.saturating_add(Quantity::parse(text).map_or(0, |quantity| quantity.millis()));
    }
    let whole = millis / 1000;
    match () {
        () if millis % 1000 != 0 => format!("{millis}m"),
        () if binary => Quantity::normalize(&kibi(whole)).unwrap_or_else(|_| whole.to_string()),
        () => whole.to_string(),
    }
}

fn kibi(bytes: i64) -> String {
    if bytes != 0 && bytes % 1024 == 0 { format!("{}Ki", bytes / 1024) } else { bytes.to_string() }
}

fn in_scope(quota: &ResourceQuota, pod: &Seen<Pod>) -> bool {
    let best_effort = pod.status.qos_class == "BestEffort";
    let terminating = pod.spec.active_deadline_seconds.is_some();
    let named = quota.spec.scope_selector.as_ref().map(|selector| selector.tree());
    let by_selector = named.as_ref().is_none_or(|selector| {
        selector.items("matchExpressions").iter().all(|rule| {
            let values = rule.items("values").iter().filter_map(|value| value.as_str());
            match (rule.text("scopeName"), rule.text("operator")) {
                ("PriorityClass", "In") => values.into_iter().any(|value| value == pod.spec.priority_class_name),
                ("PriorityClass", "NotIn") => values.into_iter().all(|value| value != pod.spec.priority_class_name),
                ("PriorityClass", "Exists") => !pod.spec.priority_class_name.is_empty(),
                (scope, _) => has_scope(scope, best_effort, terminating),
            }
        })
    });
    by_selector && quota.spec.scopes.iter().all(|scope| has_scope(scope, best_effort, terminating))
}

fn has_scope(scope: &str, best_effort: bool, terminating: bool) -> bool {
    match scope {
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn objects_and_requests_are_added_up() {
        check(
            &CONTROLLER,
            r#"
            resourcequota q spec.hard={"pods":"5","count/configmaps":"9","requests.cpu":"2","memory":"2Gi"}
            configmap c
            pod a spec.containers=[{"name":"c","resources":{"requests":{"cpu":"300m","memory":"64Mi"}}}]
            pod b spec.containers=[{"name":"c","resources":{"requests":{"cpu":"1"}}}] phase=Succeeded
            "#,
            expect![[r#"
                status resourcequota/q hard={"count/configmaps":"9","memory":"2Gi","pods":"5","requests.cpu":"2"} used={"count/configmaps":"1","memory":"64Mi","pods":"1","requests.cpu":"300m"}
            "#]],
        );
    }
}
