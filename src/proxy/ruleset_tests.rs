//! Services as the scripts that nft is given.

use expect_test::{Expect, expect};

use super::*;

fn check(before: &[ServicePort], after: &[ServicePort], expected: Expect) {
    let rules = |services: &[ServicePort]| ruleset(&Model { services: services.to_vec(), ..Model::default() });
    expected.assert_eq(&difference("t", &rules(before), &rules(after)));
}

fn web(endpoints: &[&str]) -> ServicePort {
    let endpoints: Vec<Endpoint> =
        endpoints.iter().map(|ip| Endpoint { ip: ip.parse().unwrap(), port: 8080 }).collect();
    let backends = Backends { endpoints, local_only: false };
    ServicePort {
        service: "default/web".into(),
        protocol: Protocol::Tcp,
        port: 80,
        cluster_ips: vec!["10.43.0.7".parse().unwrap()],
        external_ips: Vec::new(),
        node_port: None,
        internal: backends.clone(),
        external: backends,
        affinity_secs: None,
    }
}

#[test]
fn a_service_spreads_over_its_endpoints() {
    check(
        &[],
        &[web(&["10.42.0.2", "10.42.0.3"])],
        expect![[r#"
        add chain ip t svc/default/web/tcp/80
        add rule ip t svc/default/web/tcp/80 ip saddr != @cluster meta mark set meta mark | 0x4000
        add rule ip t svc/default/web/tcp/80 meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.42.0.2 . 8080, 1 : 10.42.0.3 . 8080 }
        add element ip t hairpins { 10.42.0.2 . 10.42.0.2 }
        add element ip t hairpins { 10.42.0.3 . 10.42.0.3 }
        add element ip t service-ips { 10.43.0.7 . tcp . 80 : goto svc/default/web/tcp/80 }
    "#]],
    );
}

#[test]
fn losing_one_endpoint_touches_only_its_service() {
    let other = ServicePort {
        service: "default/db".into(),
        cluster_ips: vec!["10.43.0.8".parse().unwrap()],
        ..web(&["10.42.0.9"])
    };
    check(
        &[web(&["10.42.0.2", "10.42.0.3"]), other.clone()],
        &[web(&["10.42.0.2"]), other],
        expect![[r#"
        flush chain ip t svc/default/web/tcp/80
        add rule ip t svc/default/web/tcp/80 ip saddr != @cluster meta mark set meta mark | 0x4000
        add rule ip t svc/default/web/tcp/80 meta l4proto tcp dnat to 10.42.0.2:8080
        delete element ip t hairpins { 10.42.0.3 . 10.42.0.3 }
    "#]],
    );
}

#[test]
fn a_service_without_endpoints_refuses() {
    check(
        &[web(&["10.42.0.2"])],
        &[web(&[])],
        expect![[r#"
        delete element ip t hairpins { 10.42.0.2 . 10.42.0.2 }
        delete element ip t service-ips { 10.43.0.7 . tcp . 80 }
        add element ip t unserved-ips { 10.43.0.7 . tcp . 80 : goto refuse }
        flush chain ip t svc/default/web/tcp/80
        delete chain ip t svc/default/web/tcp/80
    "#]],
    );
}

#[test]
fn a_local_node_port_without_a_local_endpoint_drops() {
    let mut service = web(&["10.42.0.2"]);
    service.node_port = Some(30080);
    service.external = Backends { endpoints: Vec::new(), local_only: true };
    check(
        &[web(&["10.42.0.2"])],
        &[service],
        expect![[r#"
        add chain ip t ext/default/web/tcp/80
        add rule ip t ext/default/web/tcp/80 drop
        add element ip t node-ports { tcp . 30080 : goto ext/default/web/tcp/80 }
    "#]],
    );
}

#[test]
fn a_sticky_service_remembers_its_clients() {
    let sticky = ServicePort { affinity_secs: Some(10800), ..web(&["10.42.0.2"]) };
    check(
        &[web(&["10.42.0.2"])],
        &[sticky],
        expect![[r#"
        add set ip t to/svc/default/web/tcp/80/10.42.0.2_8080 { type ipv4_addr; flags dynamic,timeout; timeout 10800s; size 65536; }
        add chain ip t svc/default/web/tcp/80/10.42.0.2_8080
        flush chain ip t svc/default/web/tcp/80
        add rule ip t svc/default/web/tcp/80 ip saddr != @cluster meta mark set meta mark | 0x4000
        add rule ip t svc/default/web/tcp/80 ip saddr @to/svc/default/web/tcp/80/10.42.0.2_8080 goto svc/default/web/tcp/80/10.42.0.2_8080
        add rule ip t svc/default/web/tcp/80 numgen random mod 1 vmap { 0 : goto svc/default/web/tcp/80/10.42.0.2_8080 }
        add rule ip t svc/default/web/tcp/80/10.42.0.2_8080 update @to/svc/default/web/tcp/80/10.42.0.2_8080 { ip saddr }
        add rule ip t svc/default/web/tcp/80/10.42.0.2_8080 meta l4proto tcp dnat to 10.42.0.2:8080
    "#]],
    );
}
