//! Rollouts, step by step.

use expect_test::{Expect, expect};

use super::CONTROLLER;
use crate::controllers::testing;

#[track_caller]
fn check(situation: &str, expect: Expect) {
    testing::check(&CONTROLLER, situation, expect);
}

const ROLLING: &str = r#"spec.strategy={"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":1}}"#;
const OLD: &str =
    r#"spec.template={"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"old"}]}}"#;

#[test]
fn the_first_replica_set_gets_all_replicas() {
    check(
        &format!("deployment web replicas=3 spec.progressDeadlineSeconds=600 {ROLLING}"),
        expect![[r#"
        create replicaset/web-568b685c5b deployment.kubernetes.io/desired-replicas=3 deployment.kubernetes.io/max-replicas=4 deployment.kubernetes.io/revision=1 app=web pod-template-hash=568b685c5b replicas=3
        status deployment/web Progressing=True(NewReplicaSetCreated) Available=False(MinimumReplicasUnavailable) observedGeneration=1 terminatingReplicas=0 unavailableReplicas=3
        again after 601s
    "#]],
    );
}

#[test]
fn a_new_template_takes_over_within_surge_and_unavailability() {
    check(
        &format!(
            "
            deployment web replicas=3 {ROLLING}
            rs web-old owner=web age=90 replicas=3 status.replicas=3 status.availableReplicas=3 {OLD}
            rs web-new owner=web age=10 replicas=1 status.replicas=1 spec.template={{\"metadata\":{{\"labels\":{{\"app\":\"web\"}}}},\"spec\":{{\"containers\":[{{\"name\":\"c\",\"image\":\"i\"}}]}}}}
            "
        ),
        expect![[r#"
            update replicaset/web-old deployment.kubernetes.io/desired-replicas=3 deployment.kubernetes.io/max-replicas=4 app=web replicas=2
            event deployment/web Normal ScalingReplicaSet: Scaled down replica set web-old from 3 to 2
            update replicaset/web-new deployment.kubernetes.io/revision=1 app=web replicas=1
            status deployment/web availableReplicas=3 Available=True(MinimumReplicasAvailable) observedGeneration=1 replicas=4 terminatingReplicas=0 updatedReplicas=1
        "#]],
    );
}

#[test]
fn recreating_waits_for_old_pods() {
    check(
        &format!(
            r#"
            deployment web replicas=2 spec.strategy={{"type":"Recreate"}}
            rs web-old owner=web replicas=0 {OLD}
            pod web-old-a owner=web-old phase=Running deleting
            "#
        ),
        expect![[r#"
            status deployment/web Available=False(MinimumReplicasUnavailable) observedGeneration=1 terminatingReplicas=0
        "#]],
    );
}

#[test]
fn a_stuck_rollout_times_out() {
    check(
        &format!(
            r#"
            deployment web replicas=1 {ROLLING} spec.progressDeadlineSeconds=60 status.replicas=1 status.updatedReplicas=1 status.unavailableReplicas=1 status.observedGeneration=1 status.conditions=[{{"type":"Progressing","status":"True","reason":"ReplicaSetUpdated","lastUpdateTime":"2020-01-01T00:00:00Z"}}]
            rs web-new owner=web replicas=1 status.replicas=1 annotations=deployment.kubernetes.io/revision:1 spec.template={{"metadata":{{"labels":{{"app":"web"}}}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}
            "#
        ),
        expect![[r#"
            status deployment/web Available=True(MinimumReplicasAvailable) Progressing=False(ProgressDeadlineExceeded) observedGeneration=1 replicas=1 terminatingReplicas=0 unavailableReplicas=1 updatedReplicas=1
        "#]],
    );
}

#[test]
fn old_revisions_beyond_the_limit_are_deleted() {
    check(
        &format!(
            r#"
            deployment web replicas=1 {ROLLING} spec.revisionHistoryLimit=1 annotations=deployment.kubernetes.io/revision:3 status.replicas=1 status.updatedReplicas=1 status.availableReplicas=1 status.observedGeneration=1
            rs web-1 owner=web age=90 replicas=0 annotations=deployment.kubernetes.io/revision:1 status.observedGeneration=1 {OLD}
            rs web-2 owner=web age=80 replicas=0 annotations=deployment.kubernetes.io/revision:2 status.observedGeneration=1 {OLD}
            rs web-3 owner=web age=70 replicas=1 annotations=deployment.kubernetes.io/revision:3 status.replicas=1 status.availableReplicas=1 spec.template={{"metadata":{{"labels":{{"app":"web"}}}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}
            "#
        ),
        expect![[r#"
            delete replicaset/web-1
            status deployment/web availableReplicas=1 Available=True(MinimumReplicasAvailable) observedGeneration=1 replicas=1 updatedReplicas=1
        "#]],
    );
}

#[test]
fn a_new_scale_in_the_middle_is_spread_over_the_sets() {
    check(
        &format!(
            r#"
            deployment web replicas=10 {ROLLING}
            rs web-old owner=web age=90 replicas=4 annotations=deployment.kubernetes.io/desired-replicas:5,deployment.kubernetes.io/max-replicas:6,deployment.kubernetes.io/revision:1 {OLD}
            rs web-new owner=web age=10 replicas=2 annotations=deployment.kubernetes.io/desired-replicas:5,deployment.kubernetes.io/max-replicas:6,deployment.kubernetes.io/revision:2 spec.template={{"metadata":{{"labels":{{"app":"web"}}}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}
            "#
        ),
        expect![[r#"
            update replicaset/web-old deployment.kubernetes.io/desired-replicas=10 deployment.kubernetes.io/max-replicas=11 deployment.kubernetes.io/revision=1 app=web replicas=7
            event deployment/web Normal ScalingReplicaSet: Scaled up replica set web-old from 4 to 7
            update replicaset/web-new deployment.kubernetes.io/desired-replicas=10 deployment.kubernetes.io/max-replicas=11 deployment.kubernetes.io/revision=2 app=web replicas=4
            event deployment/web Normal ScalingReplicaSet: Scaled up replica set web-new from 2 to 4
            status deployment/web Available=False(MinimumReplicasUnavailable) observedGeneration=1 terminatingReplicas=0 unavailableReplicas=11
        "#]],
    );
}
