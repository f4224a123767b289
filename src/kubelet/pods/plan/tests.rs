//! Situations of a pod, and what is done next.
//!
//! `c` is a main container, `i` an init container, `s` a sidecar; code 42 of a main container makes it
//! run again, code 43 makes all of them run again. A `+` marks one made after second 100. An instance is written as
//! `name=state`, where a number is the exit code of one that ended at second 100.

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::kubelet::pods::seen::Exit;

fn pod(policy: &str, containers: &str) -> Pod {
    let of = |first: char| -> Vec<serde_json::Value> {
        let named = containers.split_whitespace().filter(|name| name.starts_with(first));
        let rule =
            |code: i32, action: &str| json!({"action": action, "exitCodes": {"operator": "In", "values": [code]}});
        let rules = match first {
            'c' => vec![rule(42, "Restart"), rule(43, "RestartAllContainers")],
            _ => Vec::new(),
        };
        named.map(|name| json!({"name": name, "image": "app", "restartPolicyRules": rules})).collect()
    };
    let mut init = of('i');
    init.extend(of('s').into_iter().map(|mut one| {
        one["restartPolicy"] = "Always".into();
        one
    }));
    let spec = json!({
        "restartPolicy": policy, "initContainers": init, "containers": of('c'), "ephemeralContainers": of('e'),
    });
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec})).unwrap()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn seen(pod: &Pod, sandbox: &str, instances: &str) -> Seen {
    let mut seen = Seen::default();
    if !sandbox.is_empty() {
        let is_ready = sandbox == "ready";
        seen.sandboxes.push(Sandbox { id: "box".into(), is_ready, ips: vec!["10.0.0.1".into()], ..Sandbox::default() });
    }
    for (attempt, (name, state)) in instances.split_whitespace().filter_map(|one| one.split_once('=')).enumerate() {
        let (state, made_at) = match state.strip_suffix('+') {
            Some(state) => (state, 101),
            None => (state, 0),
        };
        let state = match state {
            "running" => State::Running { started_at: at(0) },
            "created" => State::Created,
            code => State::Exited(Exit {
                code: code.parse().unwrap(),
                reason: String::new(),
                message: String::new(),
                started_at: None,
                finished_at: at(100),
            }),
        };
        seen.instances.push(Instance {
            id: format!("{name}-id"),
            name: name.into(),
            attempt: attempt as u32,
            sandbox_id: "box".into(),
            state,
            created_at: at(made_at),
            image: String::new(),
            image_id: String::new(),
            spec_hash: pod.container(name).map(|(_, container)| spec_hash(container)).unwrap_or_default(),
            log_path: String::new(),
        });
    }
    seen
}

fn show(steps: &Steps) -> String {
    let mut lines: Vec<String> = steps
        .steps
        .iter()
        .map(|step| match step {
            Step::KillPod { grace_seconds } => format!("kill pod in {grace_seconds}s"),
            Step::MakeSandbox { attempt } => format!("make sandbox {attempt}"),
            Step::Kill { id, why, .. } => format!("kill {id}: {why:?}"),
            Step::Start { name, .. } => format!("start {name}"),
        })
        .collect();
    lines.extend(steps.waiting.iter().map(|(name, waiting)| format!("{name} waits: {}", waiting.reason)));
    lines.extend(steps.ask_again_at.map(|time| format!("ask again at {}", time.as_secs())));
    lines.extend(steps.is_over.then(|| "over".to_owned()));
    lines.join("\n")
}

fn check(policy: &str, containers: &str, sandbox: &str, instances: &str, expect: Expect) {
    check_with(policy, containers, sandbox, instances, None, Memory::default(), expect);
}

fn check_with(
    policy: &str,
    containers: &str,
    sandbox: &str,
    instances: &str,
    ending: Option<Ending>,
    memory: Memory,
    expect: Expect,
) {
    let pod = pod(policy, containers);
    let seen = seen(&pod, sandbox, instances);
    expect.assert_eq(&show(&next_steps(&pod, ending.as_ref(), &seen, &memory, at(101))));
}

#[test]
fn a_new_pod_gets_a_sandbox_then_its_containers() {
    check("Always", "c1 c2", "", "", expect!["make sandbox 0"]);
    check("Always", "c1 c2", "ready", "", expect!["start c1\nstart c2"]);
    check("Always", "c1 c2", "ready", "c1=running c2=running", expect![""]);
}

#[test]
fn init_containers_run_one_after_another() {
    check("Always", "i1 i2 c1", "ready", "", expect!["start i1"]);
    check("Always", "i1 i2 c1", "ready", "i1=running", expect![""]);
    check("Always", "i1 i2 c1", "ready", "i1=0", expect!["start i2"]);
    check("Always", "i1 i2 c1", "ready", "i1=0 i2=0", expect!["start c1"]);
    check("Always", "i1 i2 c1", "ready", "i1=3", expect!["start i1"]);
}

#[test]
fn a_failed_init_container_of_a_pod_that_never_restarts_ends_the_pod() {
    check("Never", "i1 c1", "ready", "i1=3", expect!["kill pod in 30s"]);
    check("Never", "i1 c1", "stopped", "i1=3", expect!["over"]);
}

#[test]
fn sidecars_start_first_and_end_last() {
    check("Never", "s1 c1", "ready", "", expect!["start s1"]);
    check("Never", "s1 c1", "ready", "s1=running", expect!["start c1"]);
    check("Never", "s1 c1", "ready", "s1=1 c1=running", expect!["start s1"]);
    check("Never", "s1 c1", "ready", "s1=running c1=0", expect!["kill pod in 30s"]);
}

#[test]
fn the_policy_says_who_is_restarted() {
    check("Always", "c1", "ready", "c1=0", expect!["start c1"]);
    check("OnFailure", "c1", "ready", "c1=1", expect!["start c1"]);
    check("OnFailure", "c1", "ready", "c1=0", expect!["kill pod in 30s"]);
    check("Never", "c1 c2", "ready", "c1=1 c2=running", expect![""]);
}

#[test]
fn a_container_s_own_rules_come_before_the_policy() {
    check("Never", "c1 c2", "ready", "c1=42 c2=running", expect!["start c1"]);
    check("Never", "c1", "ready", "c1=1 c1=42", expect!["kill pod in 30s"]);
}

#[test]
fn one_container_can_make_all_begin_anew() {
    let check = |instances, expect| check("Never", "i1 c1 c2", "ready", instances, expect);
    check("i1=0 c1=43 c2=running", expect!["kill c2-id: AllRestart"]);
    check("i1=0 c1=43 c2=137", expect!["start i1"]);
    check("i1=0+ c1=43 c2=137 i1=0", expect!["start c1\nstart c2"]);
    check("i1=0+ c1=running+ c2=0+ c1=43", expect![""]);
}

#[test]
fn a_container_that_keeps_ending_waits() {
    let mut memory = Memory::default();
    memory.restarts.tried("c1", at(90), at(90));
    check_with("Always", "c1", "ready", "c1=1", None, memory, expect!["c1 waits: CrashLoopBackOff\nask again at 110"]);
}

#[test]
fn a_dead_sandbox_is_replaced_unless_the_work_is_done() {
    check("Always", "c1", "stopped", "c1=137", expect!["make sandbox 1"]);
    check("OnFailure", "c1 c2", "stopped", "c1=0 c2=0", expect!["over"]);
    check("Always", "c1", "stopped", "c1=running", expect!["kill pod in 30s\nmake sandbox 1"]);
}

#[test]
fn a_container_that_fails_its_probe_is_killed() {
    let mut memory = Memory::default();
    let failed = Some((KillReason::LivenessFailed, None));
    memory.health.insert("c1-id".into(), Health { is_started: true, is_ready: true, failed });
    check_with("Always", "c1", "ready", "c1=running", None, memory, expect!["kill c1-id: LivenessFailed"]);
}

#[test]
fn an_ending_pod_is_killed_until_it_is_quiet() {
    let run = |sandbox, instances, expect| {
        check_with("Always", "c1", sandbox, instances, Some(Ending::Deleted), Memory::default(), expect);
    };
    run("ready", "c1=running", expect!["kill pod in 30s"]);
    run("ready", "c1=0", expect!["kill pod in 30s"]);
    run("stopped", "c1=0", expect!["over"]);
    run("", "", expect!["over"]);
}

#[test]
fn ephemeral_containers_are_started_once() {
    check("Always", "c1 e1", "ready", "c1=running", expect!["start e1"]);
    check("Always", "c1 e1", "ready", "c1=running e1=1", expect![""]);
}
