//! Situations and where pods go in them.

use expect_test::{Expect, expect};

use super::cluster::Cluster;
use super::cycle::{Decision, schedule};
use super::info::PodInfo;
use super::preempt;
use crate::controllers::testing::snapshot;

/// Tries every pod without a node, in the order of their names, and says where each went.
#[track_caller]
fn check(situation: &str, expect: Expect) {
    let snap = snapshot(situation);
    let mut cluster = Cluster::of(&snap);
    let mut told = String::new();
    for pod in snap.list::<crate::object::view::Pod>("").into_iter().filter(|pod| !pod.is_scheduled()) {
        let info = PodInfo::new(pod);
        match schedule(&cluster, &info, 0, 0) {
            Decision::Place { node, .. } => {
                told.push_str(&format!("{} → {node}\n", info.pod.name()));
                cluster.assume(info, &node);
            }
            Decision::Refused(diagnosis) => {
                let found = preempt::find(&cluster, &info, &diagnosis);
                let message = diagnosis.message(found.as_ref().err().map(String::as_str));
                told.push_str(&format!("{}: {message}\n", info.pod.name()));
                if let Ok(found) = found {
                    let mut victims: Vec<_> = found.victims.iter().map(|victim| victim.pod.name()).collect();
                    victims.sort_unstable();
                    told.push_str(&format!("  drives {} off {}\n", victims.join(", "), found.node));
                }
            }
        }
    }
    expect.assert_eq(&told);
}

const ROOM: &str = r#"status.allocatable={"cpu":"2","memory":"4Gi","pods":"10"}"#;

fn needs(cpu: &str) -> String {
    format!(r#"spec.containers=[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]"#)
}

#[test]
fn every_reason_is_counted() {
    check(
        &format!(
            r#"
            node n1 {ROOM} labels=a:b
            node n2 {ROOM} spec.taints=[{{"key":"k","effect":"NoSchedule"}}]
            node n3 {ROOM} spec.unschedulable=true
            node n4 status.allocatable={{"cpu":"1","memory":"4Gi","pods":"10"}}
            pod p {} spec.affinity={{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":[{{"matchExpressions":[{{"key":"a","operator":"DoesNotExist"}}]}}]}}}}}}
            "#,
            needs("1500m")
        ),
        expect![[r#"
            p: 0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.
        "#]],
    );
}

#[test]
fn pods_go_where_more_is_left() {
    check(
        &format!("node n1 {ROOM}\n node n2 {ROOM}\n pod a node=n1 {}\n pod b {}\n", needs("1"), needs("500m")),
        expect![[r#"
            b → n2
        "#]],
    );
}

#[test]
fn a_full_node_takes_no_more() {
    check(
        &format!("node n1 {ROOM}\n pod a {}\n pod b {}\n", needs("1500m"), needs("1")),
        expect![[r#"
        a → n1
        b: 0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.
    "#]],
    );
    check(
        "pod a",
        expect![[r#"
        a: no nodes available to schedule pods
    "#]],
    );
}

#[test]
fn lesser_pods_make_room() {
    check(
        &format!(
            "node n1 {ROOM}\n pod low1 node=n1 {}\n pod low2 node=n1 spec.priority=5 {}\n pod high spec.priority=10 {}\n pod never spec.priority=10 spec.preemptionPolicy=Never {}",
            needs("1"),
            needs("1"),
            needs("1"),
            needs("1")
        ),
        expect![[r#"
            high: 0/1 nodes are available: 1 Insufficient cpu.
              drives low1 off n1
            never: 0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.
        "#]],
    );
}

#[test]
fn anti_affinity_holds_in_both_directions() {
    let anti = r#"spec.affinity={"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"app":"x"}},"topologyKey":"host"}]}}"#;
    check(
        &format!(
            "node n1 {ROOM} labels=host:n1\n node n2 {ROOM} labels=host:n2\n pod a labels=app:x node=n1 {anti}\n pod b labels=app:x {anti}\n pod c labels=app:x {anti}\n pod d labels=app:x\n pod e labels=app:y"
        ),
        expect![[r#"
            b → n2
            c: 0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
            d: 0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
            e → n1
        "#]],
    );
}

#[test]
fn affinity_lets_the_first_of_its_kind_in() {
    let affinity = r#"spec.affinity={"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"app":"x"}},"topologyKey":"host"}]}}"#;
    check(
        &format!(
            "node n1 {ROOM} labels=host:n1\n node n2 {ROOM} labels=host:n2\n pod a labels=app:x {affinity}\n pod b labels=app:x {affinity}\n pod c labels=app:y node=n2\n"
        ),
        expect![[r#"
            a → n1
            b → n1
        "#]],
    );
}

#[test]
fn hard_spreading_keeps_the_skew() {
    let spread = r#"labels=app:x spec.topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"x"}}}]"#;
    check(
        &format!(
            "node n1 {ROOM} labels=zone:a\n node n2 status.allocatable={{\"cpu\":\"1\",\"memory\":\"4Gi\",\"pods\":\"10\"}} labels=zone:b\n pod a node=n1 labels=app:x\n pod b {spread}\n pod c {spread}\n pod d node=n2 labels=app:x {}\n pod e {spread}",
            needs("1")
        ),
        expect![[r#"
            b → n1
            c → n2
            e → n1
        "#]],
    );
}

/// Pods that are alike but for labels that the selector does not ask for count together; those that are
/// going, or elsewhere, do not count.
#[test]
fn soft_spreading_goes_where_fewest_are() {
    let spread = r#"labels=app:x spec.topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway","labelSelector":{"matchLabels":{"app":"x"}}}]"#;
    check(
        &format!(
            "node n1 {ROOM} labels=zone:a\n node n2 {ROOM} labels=zone:b\n pod a node=n1 labels=app:x\n pod b node=n2 labels=app:x deleting\n pod c node=n2 labels=app:y\n pod d {spread}\n pod e node=n2 labels=app:x,more:1\n pod f node=n2 labels=app:x,more:2\n pod g {spread}\n pod h {spread}"
        ),
        expect![[r#"
            d → n1
            g → n1
            h → n2
        "#]],
    );
}

#[test]
fn host_ports_are_taken_once() {
    let port = r#"spec.containers=[{"name":"c","ports":[{"containerPort":80,"hostPort":80,"protocol":"TCP"}]}]"#;
    check(
        &format!("node n1 {ROOM}\n pod a {port}\n pod b {port}"),
        expect![[r#"
        a → n1
        b: 0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.
    "#]],
    );
}

#[test]
fn claims_must_be_bound_or_bindable() {
    let claim = r#"spec.volumes=[{"name":"v","persistentVolumeClaim":{"claimName":"data"}}]"#;
    check(
        &format!("node n1 {ROOM}\n pod a {claim}"),
        expect![[r#"
            a: 0/1 nodes are available: persistentvolumeclaim "data" not found. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
        "#]],
    );
    check(
        &format!("node n1 {ROOM}\n pvc data\n pod a {claim}"),
        expect![[r#"
            a: 0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
        "#]],
    );
}
