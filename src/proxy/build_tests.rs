//! Which endpoints a node sends to.

use serde_json::{Value, json};

use super::*;
use crate::object::{Key, Object, ObjectRef, Revision, Timestamp};

fn object(resource: &str, name: &str, mut body: Value) -> ObjectRef {
    body["metadata"]["name"] = name.into();
    body["metadata"]["namespace"] = "shop".into();
    Object::new(Key::of(resource, "shop", name), Revision(1), body.to_string().into())
}

fn service(spec: Value) -> ObjectRef {
    let mut spec = spec;
    spec["clusterIP"] = "10.43.0.7".into();
    spec["ports"] = json!([{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}]);
    object("services", "web", json!({ "spec": spec }))
}

/// Endpoints as `ip@node state`.
fn slice(endpoints: &[&str]) -> ObjectRef {
    let endpoint = |text: &&str| {
        let (place, state) = text.split_once(' ').unwrap();
        let (ip, node) = place.split_once('@').unwrap();
        json!({"addresses": [ip], "nodeName": node, "conditions": {
            "ready": state == "ready", "serving": state != "down", "terminating": state == "draining"}})
    };
    object(
        "endpointslices.discovery.k8s.io",
        "web-1",
        json!({
            "metadata": {"labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        }),
    )
}

fn check(spec: Value, endpoints: &[&str], internal: &str, external: &str) {
    let snap = Snapshot::of([service(spec), slice(endpoints)], Timestamp::UNIX_EPOCH);
    let model = model(&snap, "n1", &[]);
    let show = |backends: &Backends| {
        let ips: Vec<String> = backends.endpoints.iter().map(|to| format!("{}:{}", to.ip, to.port)).collect();
        ips.join(" ")
    };
    assert_eq!(
        (show(&model.services[0].internal).as_str(), show(&model.services[0].external).as_str()),
        (internal, external)
    );
}

#[test]
fn only_ready_endpoints_count() {
    check(json!({}), &["10.42.0.2@n1 ready", "10.42.0.3@n2 down"], "10.42.0.2:8080", "10.42.0.2:8080");
}

#[test]
fn draining_endpoints_serve_when_nobody_else_does() {
    check(json!({}), &["10.42.0.2@n1 draining", "10.42.0.3@n2 down"], "10.42.0.2:8080", "10.42.0.2:8080");
}

#[test]
fn local_policies_keep_to_this_node() {
    let endpoints = ["10.42.0.2@n1 ready", "10.42.1.3@n2 ready"];
    check(json!({"externalTrafficPolicy": "Local"}), &endpoints, "10.42.0.2:8080 10.42.1.3:8080", "10.42.0.2:8080");
    check(json!({"internalTrafficPolicy": "Local"}), &endpoints, "10.42.0.2:8080", "10.42.0.2:8080 10.42.1.3:8080");
}

#[test]
fn services_at_our_own_addresses_are_left_to_us() {
    let snap = Snapshot::of([service(json!({}))], Timestamp::UNIX_EPOCH);
    assert!(model(&snap, "n1", &["10.43.0.7".parse().unwrap()]).services.is_empty());
}

#[test]
fn load_balancers_are_told_how_many_endpoints_are_ready_here() {
    let endpoints = ["10.42.0.2@n1 ready", "10.42.0.4@n1 down", "10.42.1.3@n2 ready"];
    let count = |policy: &str| {
        let spec = json!({"externalTrafficPolicy": policy, "healthCheckNodePort": 32000});
        let snap = Snapshot::of([service(spec), slice(&endpoints)], Timestamp::UNIX_EPOCH);
        model(&snap, "n1", &[]).health.get(&32000).map(|health| health.local_endpoints)
    };
    assert_eq!((count("Local"), count("Cluster")), (Some(1), None));
}
