//! Questions and answers of a small cluster.

use serde_json::{Value, json};

use super::*;
use crate::object::{Key, Object, Revision, Timestamp};

fn object(resource: &str, namespace: &str, name: &str, mut body: Value) -> crate::object::ObjectRef {
    body["metadata"]["name"] = name.into();
    body["metadata"]["namespace"] = namespace.into();
    Object::new(Key::of(resource, namespace, name), Revision(1), body.to_string().into())
}

fn cluster() -> Snapshot {
    let endpoint = |ip: &str, hostname: Value, ready: bool| json!({"addresses": [ip], "hostname": hostname, "conditions": {"ready": ready}});
    Snapshot::of(
        [
            object("namespaces", "", "shop", json!({})),
            object(
                "services",
                "shop",
                "web",
                json!({"spec": {
                "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}),
            ),
            object("services", "shop", "db", json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}})),
            object("services", "shop", "empty", json!({"spec": {"clusterIP": "None"}})),
            object(
                "services",
                "shop",
                "far",
                json!({"spec": {"type": "ExternalName", "externalName": "db.example.com"}}),
            ),
            object(
                "endpointslices.discovery.k8s.io",
                "shop",
                "db-x1",
                json!({
                "metadata": {"labels": {"kubernetes.io/service-name": "db"}},
                "addressType": "IPv4",
                "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
                "endpoints": [
                    endpoint("10.42.0.5", json!("db-0"), true),
                    endpoint("10.42.0.6", Value::Null, true),
                    endpoint("10.42.0.7", json!("db-2"), false),
                ]}),
            ),
        ],
        Timestamp::UNIX_EPOCH,
    )
}

fn ask(name: &str, asked: Asked) -> String {
    let zone = Zone { domain: "cluster.local".into(), own_addresses: vec!["10.42.0.0/15".parse().unwrap()] };
    match zone.answer(&cluster(), name, asked) {
        Answer::Known(records) => {
            let show = |record: &Record| format!("{:?}", record.data);
            let all: Vec<String> = records.answers.iter().map(show).collect();
            if all.is_empty() { "no data".into() } else { all.join(", ") }
        }
        Answer::NoSuchName => "no such name".into(),
        Answer::Alias { target, .. } => format!("see {target}"),
        Answer::Elsewhere => "elsewhere".into(),
    }
}

#[test]
fn services_have_their_cluster_address() {
    assert_eq!(ask("web.shop.svc.cluster.local", Asked::A), "A(10.43.0.7)");
    assert_eq!(ask("web.shop.svc.cluster.local", Asked::Other), "no data");
    assert_eq!(ask("nope.shop.svc.cluster.local", Asked::A), "no such name");
    assert_eq!(ask("far.shop.svc.cluster.local", Asked::A), "see db.example.com");
}

#[test]
fn headless_services_have_their_ready_endpoints() {
    assert_eq!(ask("db.shop.svc.cluster.local", Asked::A), "A(10.42.0.5), A(10.42.0.6)");
    assert_eq!(ask("db-0.db.shop.svc.cluster.local", Asked::A), "A(10.42.0.5)");
    assert_eq!(ask("10-42-0-6.db.shop.svc.cluster.local", Asked::A), "A(10.42.0.6)");
    assert_eq!(ask("db-2.db.shop.svc.cluster.local", Asked::A), "no such name");
    assert_eq!(ask("empty.shop.svc.cluster.local", Asked::A), "no such name");
}

#[test]
fn named_ports_have_srv_records() {
    assert_eq!(
        ask("_http._tcp.web.shop.svc.cluster.local", Asked::Srv),
        r#"Srv { port: 80, weight: 100, target: "web.shop.svc.cluster.local" }"#
    );
    assert_eq!(
        ask("_sql._tcp.db.shop.svc.cluster.local", Asked::Srv),
        r#"Srv { port: 5432, weight: 50, target: "db-0.db.shop.svc.cluster.local" }, Srv { port: 5432, weight: 50, target: "10-42-0-6.db.shop.svc.cluster.local" }"#
    );
    assert_eq!(ask("_sql._udp.db.shop.svc.cluster.local", Asked::Srv), "no such name");
}

#[test]
fn addresses_lead_back_to_names() {
    assert_eq!(ask("7.0.43.10.in-addr.arpa", Asked::Ptr), r#"Ptr("web.shop.svc.cluster.local")"#);
    assert_eq!(ask("5.0.42.10.in-addr.arpa", Asked::Ptr), r#"Ptr("db-0.db.shop.svc.cluster.local")"#);
    assert_eq!(ask("99.0.42.10.in-addr.arpa", Asked::Ptr), "no such name");
    assert_eq!(ask("8.8.8.8.in-addr.arpa", Asked::Ptr), "elsewhere");
}

#[test]
fn other_names_of_the_zone() {
    assert_eq!(ask("10-42-0-9.shop.pod.cluster.local", Asked::A), "A(10.42.0.9)");
    assert_eq!(ask("10-42-0-9.nope.pod.cluster.local", Asked::A), "no such name");
    assert_eq!(ask("dns-version.cluster.local", Asked::Txt), r#"Txt("1.1.0")"#);
    assert_eq!(ask("shop.svc.cluster.local", Asked::A), "no data");
    assert_eq!(ask("cluster.local", Asked::A), "no data");
    assert_eq!(ask("example.com", Asked::A), "elsewhere");
    assert_eq!(ask("notcluster.local", Asked::A), "elsewhere");
}
