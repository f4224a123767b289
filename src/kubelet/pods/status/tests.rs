//! What users read of a pod in some situations of its life.

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::kubelet::pods::plan::next_steps;
use crate::kubelet::pods::seen::{Exit, Instance, Sandbox, State};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn instance(name: &str, state: State) -> Instance {
    Instance {
        id: format!("{name}-id"),
        name: name.into(),
        attempt: 0,
        sandbox_id: "box".into(),
        state,
        created_at: at(1),
        image: "app".into(),
        image_id: "sha256:1".into(),
        spec_hash: String::new(),
        log_path: String::new(),
    }
}

fn exited(code: i32) -> State {
    let reason = if code == 0 { "Completed" } else { "Error" };
    State::Exited(Exit {
        code,
        reason: reason.into(),
        message: String::new(),
        started_at: Some(at(1)),
        finished_at: at(2),
    })
}

/// Phase, conditions that do not hold, and each container's state.
fn check(pod: serde_json::Value, sandbox_ready: bool, instances: Vec<Instance>, expect: Expect) {
    check_ending(pod, None, sandbox_ready, instances, expect);
}

fn check_ending(
    pod: serde_json::Value,
    ending: Option<Ending>,
    sandbox_ready: bool,
    instances: Vec<Instance>,
    expect: Expect,
) {
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let sandbox =
        Sandbox { id: "box".into(), is_ready: sandbox_ready, ips: vec!["10.0.0.2".into()], ..Sandbox::default() };
    let mut seen = Seen { sandboxes: vec![sandbox], instances };
    for instance in &mut seen.instances {
        instance.spec_hash =
            pod.container(&instance.name).map(|(_, c)| super::super::plan::spec_hash(c)).unwrap_or_default();
    }
    let memory = Memory::default();
    let steps = next_steps(&pod, ending.as_ref(), &seen, &memory, at(3));
    let facts = Facts {
        pod: &pod,
        seen: &seen,
        memory: &memory,
        steps: &steps,
        ending: ending.as_ref(),
        pending: None,
        host_ips: &[],
        start_time: at(0),
        now: at(3),
    };
    let status = status_of(&facts);
    let mut shown = vec![status["phase"].as_str().unwrap().to_owned()];
    for condition in status["conditions"].as_array().unwrap().iter().filter(|one| one["status"] == "False") {
        let reason = condition["reason"].as_str().unwrap_or_default();
        shown.push(format!("{} {reason}", condition["type"].as_str().unwrap()).trim_end().to_owned());
    }
    for list in ["initContainerStatuses", "containerStatuses"] {
        for one in status[list].as_array().into_iter().flatten() {
            shown.push(format!("{} {} ready={}", one["name"].as_str().unwrap(), one["state"], one["ready"]));
        }
    }
    expect.assert_eq(&shown.join("\n"));
}

fn pod(policy: &str) -> serde_json::Value {
    json!({
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"restartPolicy": policy, "initContainers": [{"name": "i", "image": "app"}], "containers": [{"name": "c", "image": "app"}]}
    })
}

#[test]
fn a_pod_in_its_init_container_is_pending() {
    let running = instance("i", State::Running { started_at: at(1) });
    check(
        pod("Always"),
        true,
        vec![running],
        expect![[r#"
        Pending
        Initialized ContainersNotInitialized
        Ready ContainersNotReady
        ContainersReady ContainersNotReady
        i {"running":{"startedAt":"1970-01-01T00:00:01Z"}} ready=false
        c {"waiting":{"reason":"PodInitializing"}} ready=false"#]],
    );
}

#[test]
fn a_running_pod_is_ready() {
    let both = vec![instance("i", exited(0)), instance("c", State::Running { started_at: at(2) })];
    check(
        pod("Always"),
        true,
        both,
        expect![[r#"
        Running
        i {"terminated":{"containerID":"containerd://i-id","exitCode":0,"finishedAt":"1970-01-01T00:00:02Z","reason":"Completed","startedAt":"1970-01-01T00:00:01Z"}} ready=true
        c {"running":{"startedAt":"1970-01-01T00:00:02Z"}} ready=true"#]],
    );
}

#[test]
fn a_job_that_did_its_work_succeeds() {
    let both = vec![instance("i", exited(0)), instance("c", exited(0))];
    check(
        pod("Never"),
        false,
        both,
        expect![[r#"
        Succeeded
        PodReadyToStartContainers
        Ready PodCompleted
        ContainersReady PodCompleted
        i {"terminated":{"containerID":"containerd://i-id","exitCode":0,"finishedAt":"1970-01-01T00:00:02Z","reason":"Completed","startedAt":"1970-01-01T00:00:01Z"}} ready=true
        c {"terminated":{"containerID":"containerd://c-id","exitCode":0,"finishedAt":"1970-01-01T00:00:02Z","reason":"Completed","startedAt":"1970-01-01T00:00:01Z"}} ready=false"#]],
    );
}

#[test]
fn a_pod_that_never_restarts_fails_with_its_init_container() {
    check(
        pod("Never"),
        false,
        vec![instance("i", exited(2))],
        expect![[r#"
        Failed
        PodReadyToStartContainers
        Initialized ContainersNotInitialized
        Ready PodFailed
        ContainersReady PodFailed
        i {"terminated":{"containerID":"containerd://i-id","exitCode":2,"finishedAt":"1970-01-01T00:00:02Z","reason":"Error","startedAt":"1970-01-01T00:00:01Z"}} ready=false
        c {"waiting":{"reason":"PodInitializing"}} ready=false"#]],
    );
}

#[test]
fn a_pod_that_is_deleted_before_it_began_has_failed() {
    let mut simple = pod("Never");
    simple["spec"]["initContainers"] = json!([]);
    check_ending(
        simple,
        Some(Ending::Deleted),
        false,
        vec![],
        expect![[r#"
            Failed
            PodReadyToStartContainers
            Ready PodFailed
            ContainersReady PodFailed
            c {"terminated":{"exitCode":137,"message":"The container could not be located when the pod was terminated","reason":"ContainerStatusUnknown"}} ready=false"#]],
    );
}

#[test]
fn of_a_pod_that_is_deleted_in_its_init_container_the_others_never_were() {
    check_ending(
        pod("Always"),
        Some(Ending::Deleted),
        false,
        vec![],
        expect![[r#"
            Failed
            PodReadyToStartContainers
            Initialized ContainersNotInitialized
            Ready PodFailed
            ContainersReady PodFailed
            i {"terminated":{"exitCode":137,"message":"The container could not be located when the pod was terminated","reason":"ContainerStatusUnknown"}} ready=false
            c {"waiting":{"reason":"PodInitializing"}} ready=false"#]],
    );
}
