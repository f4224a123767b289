//! Situations of autoscalers, and what is decided.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::limits::{Bounds, Memory, limit};
use super::round::Round;
use crate::client::{NoteKind, Seen};
use crate::controllers::testing::{NOW, situation};
use crate::object::tree::json;
use crate::object::{Timestamp, Tree, TreePath};

const CPU: &str = r#"spec.metrics=[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]"#;

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

/// A pod that has been running for ten minutes and asks for 100m.
fn pod(name: &str) -> String {
    let containers = r#"[{"name":"c","resources":{"requests":{"cpu":"100m","memory":"64Mi"}}}]"#;
    format!("pod {name} ready=500 status.startTime=\"2027-01-15T07:50:00Z\" spec.containers={containers}\n")
}

/// What the resource metrics API says of pods, as `name=cpu`.
fn used(pods: &[(&str, &str)]) -> Tree {
    let item = |(name, cpu): &(&str, &str)| {
        json!({
            "metadata": {"name": name}, "timestamp": "2027-01-15T08:00:00Z", "window": "30s",
            "containers": [{"name": "c", "usage": {"cpu": cpu, "memory": "32Mi"}}],
        })
    };
    json!({"items": pods.iter().map(item).collect::<Vec<_>>()})
}

/// One look: the first object is the autoscaler, the others are the pods of its target.
fn look(memory: &mut Memory, text: &str, current: i64, answers: Vec<Result<Tree, String>>) -> String {
    let objects = situation(text);
    let hpa = Seen::new(&objects[0]).expect("an autoscaler");
    let pods: Vec<_> = objects.iter().filter_map(Seen::new).collect();
    let mut round = Round::new(&hpa, now());
    round.has_scale();
    memory.begin(current, now());
    let wish = match round.by_bounds(current) {
        Some(wish) => Some(wish),
        None => match round.judge(&pods, answers, (current, current), "default") {
            Ok(desired) => Some(round.within_limits(memory, current, desired)),
            Err((why, metrics)) => {
                round.no_wish(current, metrics, why);
                None
            }
        },
    };
    match wish {
        Some(wish) if wish.replicas == current => round.stays(current, wish.metrics),
        Some(wish) => round.scaled(current, wish.replicas, &wish.reason, wish.metrics),
        None => (),
    }
    let object = round.changed().expect("a new status");
    let mut out = String::new();
    for one in object.items("status.conditions") {
        let (kind, status, reason) = (one.text("type"), one.text("status"), one.text("reason"));
        let _ = writeln!(out, "{kind}={status} {reason}: {}", one.text("message"));
    }
    for note in &round.notes {
        let sign = if note.kind == NoteKind::Normal { "note" } else { "warning" };
        let _ = writeln!(out, "{sign} {}: {}", note.reason, note.message);
    }
    let mut status = object.at("status").cloned().unwrap_or_default();
    status.unset("conditions");
    let _ = writeln!(out, "{status}");
    out
}

#[track_caller]
fn check(text: &str, current: i64, answers: Vec<Result<Tree, String>>, expect: Expect) {
    expect.assert_eq(&look(&mut Memory::default(), text, current, answers));
}

#[test]
fn busy_pods_get_more_beside_them() {
    let text = format!("horizontalpodautoscaler h spec.maxReplicas=10 {CPU}\n{}{}", pod("a"), pod("b"));
    check(
        &text,
        2,
        vec![Ok(used(&[("a", "80m"), ("b", "90m")]))],
        expect![[r#"
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 4
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        note SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target
        {"currentMetrics":[{"resource":{"current":{"averageUtilization":85,"averageValue":"85m"},"name":"cpu"},"type":"Resource"}],"currentReplicas":2,"desiredReplicas":4,"lastScaleTime":"2027-01-15T08:00:00Z"}
    "#]],
    );
}

#[test]
fn a_little_more_than_the_target_changes_nothing() {
    let text = format!("horizontalpodautoscaler h spec.maxReplicas=10 {CPU}\n{}{}", pod("a"), pod("b"));
    check(
        &text,
        2,
        vec![Ok(used(&[("a", "52m"), ("b", "54m")]))],
        expect![[r#"
        AbleToScale=True ReadyForNewScale: recommended size matches current size
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        {"currentMetrics":[{"resource":{"current":{"averageUtilization":53,"averageValue":"53m"},"name":"cpu"},"type":"Resource"}],"currentReplicas":2,"desiredReplicas":2}
    "#]],
    );
}

#[test]
fn a_pod_that_tells_nothing_keeps_the_others_from_being_taken_away() {
    let text = format!("horizontalpodautoscaler h spec.maxReplicas=10 {CPU}\n{}{}{}", pod("a"), pod("b"), pod("c"));
    check(
        &text,
        3,
        vec![Ok(used(&[("a", "20m"), ("b", "20m")]))],
        expect![[r#"
        AbleToScale=True ReadyForNewScale: recommended size matches current size
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        {"currentMetrics":[{"resource":{"current":{"averageUtilization":20,"averageValue":"20m"},"name":"cpu"},"type":"Resource"}],"currentReplicas":3,"desiredReplicas":3}
    "#]],
    );
}

#[test]
fn without_metrics_nothing_is_scaled() {
    let text = format!("horizontalpodautoscaler h spec.maxReplicas=10 {CPU}\n{}", pod("a"));
    let why = "the server could not find the requested resource (get pods.metrics.k8s.io)";
    check(
        &text,
        1,
        vec![Err(why.into())],
        expect![[r#"
        AbleToScale=True SucceededGetScale: the HPA controller was able to get the target's current scale
        ScalingActive=False FailedGetResourceMetric: the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)
        warning FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)
        warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)
        {"currentMetrics":[{"type":""}],"currentReplicas":1,"desiredReplicas":0}
    "#]],
    );
}

#[test]
fn bounds_come_before_metrics() {
    let text = "horizontalpodautoscaler h spec.maxReplicas=3 spec.minReplicas=2";
    check(
        text,
        5,
        Vec::new(),
        expect![[r#"
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 3
        note SuccessfulRescale: New size: 3; reason: Current number of replicas above Spec.MaxReplicas
        {"currentMetrics":null,"currentReplicas":5,"desiredReplicas":3,"lastScaleTime":"2027-01-15T08:00:00Z"}
    "#]],
    );
    check(
        text,
        1,
        Vec::new(),
        expect![[r#"
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 2
        note SuccessfulRescale: New size: 2; reason: Current number of replicas below Spec.MinReplicas
        {"currentMetrics":null,"currentReplicas":1,"desiredReplicas":2,"lastScaleTime":"2027-01-15T08:00:00Z"}
    "#]],
    );
    check(
        text,
        0,
        Vec::new(),
        expect![[r#"
        AbleToScale=True SucceededGetScale: the HPA controller was able to get the target's current scale
        ScalingActive=False ScalingDisabled: scaling is disabled since the replica count of the target is zero
        {"currentMetrics":null,"desiredReplicas":0}
    "#]],
    );
}

#[test]
fn a_queue_is_shared_among_pods() {
    let metric = r#"{"type":"External","external":{"metric":{"name":"jobs","selector":{"matchLabels":{"q":"a"}}},"target":{"type":"AverageValue","averageValue":"30"}}}"#;
    let text = format!("horizontalpodautoscaler h spec.maxReplicas=10 spec.metrics=[{metric}]\n{}", pod("a"));
    let jobs = json!({"items": [{"value": "50"}, {"value": "45"}]});
    check(
        &text,
        1,
        vec![Ok(jobs)],
        expect![[r#"
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 4
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from external metric jobs(&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},})
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        note SuccessfulRescale: New size: 4; reason: external metric jobs(&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},}) above target
        {"currentMetrics":[{"external":{"current":{"averageValue":"95"},"metric":{"name":"jobs","selector":{"matchLabels":{"q":"a"}}}},"type":"External"}],"currentReplicas":1,"desiredReplicas":4,"lastScaleTime":"2027-01-15T08:00:00Z"}
    "#]],
    );
    check(
        &text,
        1,
        vec![Err("no".into())],
        expect![[r#"
        AbleToScale=True SucceededGetScale: the HPA controller was able to get the target's current scale
        ScalingActive=False FailedGetExternalMetric: the HPA was unable to compute the replica count: unable to get external metric default/jobs/&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: no
        warning FailedGetExternalMetric: unable to get external metric default/jobs/&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: no
        warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get jobs external metric value: failed to get jobs external metric: unable to get external metric default/jobs/&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: no
        {"currentMetrics":[{"type":""}],"currentReplicas":1,"desiredReplicas":0}
    "#]],
    );
}

#[test]
fn one_metric_that_fails_stops_scaling_down_only() {
    let value =
        r#"{"type":"Pods","pods":{"metric":{"name":"hits"},"target":{"type":"AverageValue","averageValue":"10"}}}"#;
    let cpu = CPU.trim_start_matches("spec.metrics=[").trim_end_matches(']');
    let text =
        format!("horizontalpodautoscaler h spec.maxReplicas=10 spec.metrics=[{cpu},{value}]\n{}{}", pod("a"), pod("b"));
    let hits = |each: &str| {
        let one = |name| json!({"describedObject": {"name": name}, "timestamp": "2027-01-15T08:00:00Z", "value": each});
        json!({"items": [one("a"), one("b")]})
    };
    check(
        &text,
        2,
        vec![Err("no".into()), Ok(hits("20"))],
        expect![[r#"
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 4
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from pods metric hits
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        warning FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: no
        note SuccessfulRescale: New size: 4; reason: pods metric hits above target
        {"currentMetrics":[{"type":""},{"pods":{"current":{"averageValue":"20"},"metric":{"name":"hits"}},"type":"Pods"}],"currentReplicas":2,"desiredReplicas":4,"lastScaleTime":"2027-01-15T08:00:00Z"}
    "#]],
    );
    check(
        &text,
        2,
        vec![Err("no".into()), Ok(hits("2"))],
        expect![[r#"
        AbleToScale=True SucceededGetScale: the HPA controller was able to get the target's current scale
        ScalingActive=False FailedGetResourceMetric: the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: no
        warning FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: no
        warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 2), first error is: failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: no
        {"currentMetrics":[{"type":""},{"pods":{"current":{"averageValue":"2"},"metric":{"name":"hits"}},"type":"Pods"}],"currentReplicas":2,"desiredReplicas":0}
    "#]],
    );
}

const BOUNDS: Bounds = Bounds { min: 1, max: 100 };

fn after(secs: u64) -> Timestamp {
    now() + Duration::from_secs(secs)
}

#[test]
fn what_was_needed_within_five_minutes_stays() {
    let mut memory = Memory::default();
    let mut wish = |secs, desired| limit(&mut memory, &Tree::Null, BOUNDS, (8, desired), after(secs));
    assert_eq!(wish(0, 8).replicas, 8);
    let kept = wish(60, 3);
    assert_eq!((kept.replicas, kept.able.0), (8, "ScaleDownStabilized"));
    assert_eq!(wish(301, 2).replicas, 3, "eight was wished for more than five minutes ago");
    assert_eq!(wish(3, 100).limit.0, "ScaleUpLimit");
    assert_eq!(limit(&mut Memory::default(), &Tree::Null, BOUNDS, (1, 50), now()).replicas, 4);
    assert_eq!(limit(&mut Memory::default(), &Tree::Null, BOUNDS, (8, 50), now()).replicas, 16);
}

#[test]
fn policies_bound_the_change_of_a_period() {
    let behavior = json!({
        "scaleUp": {
            "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 0, "selectPolicy": "Min",
            "policies": [
                {"type": "Percent", "value": 50, "periodSeconds": 60}, {"type": "Pods", "value": 1, "periodSeconds": 60},
            ],
        },
    });
    let mut memory = Memory::default();
    let up = limit(&mut memory, &behavior, BOUNDS, (4, 20), now());
    assert_eq!((up.replicas, up.is_limited, up.limit.0), (7, true, "ScaleUpLimit"));
    memory.scaled(4, 7, &behavior, now());
    assert_eq!(limit(&mut memory, &behavior, BOUNDS, (7, 20), after(30)).replicas, 7, "its three are used up");
    assert_eq!(limit(&mut memory, &behavior, BOUNDS, (7, 20), after(61)).replicas, 10);
    let down = limit(&mut memory, &behavior, BOUNDS, (10, 1), after(200));
    assert_eq!((down.replicas, down.limit.0), (9, "ScaleDownLimit"));
    let mut off = behavior.clone();
    off.set("scaleDown.selectPolicy", "Disabled");
    assert_eq!(limit(&mut memory, &off, BOUNDS, (10, 1), after(300)).replicas, 10);
}

#[test]
fn a_window_upwards_takes_the_least_of_late() {
    let behavior = json!({
        "scaleUp": {
            "stabilizationWindowSeconds": 60, "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 1000, "periodSeconds": 15}],
        },
        "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
    });
    let mut memory = Memory::default();
    memory.begin(2, now());
    let kept = limit(&mut memory, &behavior, BOUNDS, (2, 9), after(15));
    assert_eq!((kept.replicas, kept.able.0), (2, "ScaleUpStabilized"));
    assert_eq!(limit(&mut memory, &behavior, BOUNDS, (2, 9), after(61)).replicas, 9);
}
