//! What a pod needs next: a pure function of the pod wished for and the pod seen.
//!
//! The worker carries the steps out in order and asks again when anything has changed. Nothing is
//! remembered here but what [`Memory`] holds: back-offs, and starts that failed.

use std::collections::{BTreeMap, HashMap};

use super::backoff::{self, BackOff};
use super::seen::{Instance, Sandbox, Seen, State};
use crate::kubelet::spec::{Container, Pod, RestartPolicy, Role};
use crate::object::Timestamp;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Stops all containers, then the sandbox.
    KillPod {
        grace_seconds: i64,
    },
    /// Makes sandbox number `attempt`, after the pod's older ones were stopped.
    MakeSandbox {
        attempt: u32,
    },
    Kill {
        id: String,
        why: KillReason,
        grace_seconds: Option<i64>,
    },
    Start {
        name: String,
        role: Role,
        attempt: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    LivenessFailed,
    StartupFailed,
    SpecChanged,
    /// Its resources changed, and its policy wants a restart for that.
    Resized,
    /// Another container ended in a way that makes all of them begin anew.
    AllRestart,
}

/// Why a pod that has not ended by itself is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Someone deleted it.
    Deleted,
    /// It ran longer than `activeDeadlineSeconds`.
    DeadlineExceeded,
    /// The API already says that it is over.
    Terminal,
    /// The node needs what it uses, or it uses more than it may.
    Evicted(Eviction),
}

/// Why the node ends a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    pub message: String,
    /// Whether the pod did nothing wrong itself, which its owner may want to know.
    pub is_disruption: bool,
}

/// An evicted pod has hardly any time: the node is in need.
const EVICTION_GRACE_SECONDS: i64 = 1;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    pub steps: Vec<Step>,
    /// When to ask again if nothing happens before.
    pub ask_again_at: Option<Timestamp>,
    /// Containers that wait, and why, in the words of their status.
    pub waiting: BTreeMap<String, Waiting>,
    /// The pod is over: nothing of it runs, nothing of it will.
    pub is_over: bool,
    /// Its containers have all ended and none will be started; what is left is to be stopped.
    pub has_finished: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub reason: String,
    pub message: String,
}

impl Waiting {
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}

/// What is known beyond specification and runtime. Lost at a restart, as upstream loses it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub restarts: BackOff,
    pub failures: BTreeMap<String, Failure>,
    /// Of making the sandbox.
    pub sandbox_failure: Option<Failure>,
    pub health: HashMap<String, Health>,
    pub resized: super::resize::Told,
}

/// A start that did not succeed, and when to try again.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub waiting: Waiting,
    pub retry_at: Timestamp,
}

/// What probes say of one instance, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    pub is_started: bool,
    pub is_ready: bool,
    pub failed: Option<(KillReason, Option<i64>)>,
}

impl Memory {
    /// Whether the instance runs and its startup probe, if it has one, has succeeded.
    pub fn is_started(&self, container: &Container, instance: &Instance) -> bool {
        instance.is_running()
            && match self.health.get(&instance.id) {
                Some(health) => health.is_started,
                None => container.startup_probe.is_none(),
            }
    }

    pub fn is_ready(&self, container: &Container, instance: &Instance) -> bool {
        self.is_started(container, instance)
            && match self.health.get(&instance.id) {
                Some(health) => health.is_ready,
                None => container.readiness_probe.is_none(),
            }
    }
}

/// What to do for `pod` next. `ending` says that it must end, whatever its containers do.
pub fn next_steps(pod: &Pod, ending: Option<&Ending>, seen: &Seen, memory: &Memory, now: Timestamp) -> Steps {
    let mut plan = Planner { pod, seen, memory, now, round_began: None, out: Steps::default() };
    match ending {
        Some(ending) => plan.end(ending),
        None => plan.carry_on(),
    }
    plan.out
}

struct Planner<'a> {
    pod: &'a Pod,
    seen: &'a Seen,
    memory: &'a Memory,
    now: Timestamp,
    /// When all containers were last made to begin anew: what was made before counts as not there.
    round_began: Option<Timestamp>,
    out: Steps,
}

/// Where a pod's init containers stand.
enum Init {
    Done,
    /// Something is running or was asked for; the main containers have to wait.
    Busy,
    /// One failed for good.
    Failed,
}

impl<'a> Planner<'a> {
    fn end(&mut self, ending: &Ending) {
        if self.seen.is_quiet() {
            self.out.is_over = true;
            return;
        }
        let grace_seconds = match ending {
            Ending::Deleted | Ending::DeadlineExceeded => self.pod.grace_seconds(),
            Ending::Terminal => 0,
            Ending::Evicted(_) => EVICTION_GRACE_SECONDS.min(self.pod.grace_seconds()),
        };
        self.out.steps.push(Step::KillPod { grace_seconds });
    }

    fn carry_on(&mut self) {
        match self.usable_sandbox() {
            Some(sandbox) => self.containers(sandbox),
            None => self.new_sandbox(),
        }
    }

    /// The newest sandbox, if containers can run in it.
    fn usable_sandbox(&self) -> Option<&'a Sandbox> {
        let seen: &'a Seen = self.seen;
        let newest = seen.sandboxes.first()?;
        let others_ready = self.seen.sandboxes.iter().skip(1).any(|sandbox| sandbox.is_ready);
        let has_network = self.pod.spec.host_network || !newest.ips.is_empty();
        let same_network = newest.on_host_network == self.pod.spec.host_network;
        (newest.is_ready && !others_ready && has_network && same_network).then_some(newest)
    }

    fn new_sandbox(&mut self) {
        if self.nothing_left_to_run() {
            return self.finish();
        }
        if let Some(failure) = &self.memory.sandbox_failure
            && self.now < failure.retry_at
        {
            self.out.ask_again_at = Some(failure.retry_at);
            return;
        }
        if !self.seen.is_quiet() {
            self.out.steps.push(Step::KillPod { grace_seconds: self.pod.grace_seconds() });
        }
        let attempt = self.seen.sandboxes.first().map_or(0, |sandbox| sandbox.attempt + 1);
        self.out.steps.push(Step::MakeSandbox { attempt });
    }

    /// Whether every main container has run, and none may run again in a new sandbox.
    fn nothing_left_to_run(&self) -> bool {
        let init_failed = self.pod.spec.init_containers.iter().any(|container| {
            !container.is_sidecar()
                && self.ended(container).is_some_and(|code| code != 0 && !self.restarts(Role::Init, container, code))
        });
        init_failed
            || self
                .pod
                .spec
                .containers
                .iter()
                .all(|container| self.ended(container).is_some_and(|code| !self.restarts(Role::Main, container, code)))
    }

    fn ended(&self, container: &Container) -> Option<i32> {
        Some(self.seen.newest(&container.name)?.exit()?.code)
    }

    /// Whether a container that ended with `code` is to run again.
    fn restarts(&self, role: Role, container: &Container, code: i32) -> bool {
        let of_pod = match (role, self.pod.restart_policy()) {
            // An init container of a pod that always restarts is tried until it succeeds.
            (Role::Init, RestartPolicy::Always) => RestartPolicy::OnFailure,
            (_, policy) => policy,
        };
        container.restarts(of_pod, code)
    }

    /// The newest instance of a container in `sandbox` that belongs to the present round.
    fn newest_in(&self, name: &str, sandbox: &Sandbox) -> Option<&'a Instance> {
        let seen: &'a Seen = self.seen;
        let newest = seen.newest_in(name, sandbox)?;
        self.round_began.is_none_or(|began| newest.created_at > began).then_some(newest)
    }

    /// When the last exit that restarts all containers was, in `sandbox`.
    fn last_round(&self, sandbox: &Sandbox) -> Option<Timestamp> {
        let ended = self.seen.instances.iter().filter(|one| one.sandbox_id == sandbox.id);
        let starts_round = |one: &Instance| {
            let exit = one.exit()?;
            self.pod.container(&one.name)?.1.restarts_all(exit.code).then_some(exit.finished_at)
        };
        ended.filter_map(starts_round).max()
    }

    /// Stops what is left of the round before. Returns whether there was anything.
    fn end_round(&mut self, sandbox: &Sandbox) -> bool {
        let Some(began) = self.round_began else { return false };
        let is_left = |one: &&Instance| {
            let is_ephemeral = self.pod.container(&one.name).is_none_or(|(role, _)| role == Role::Ephemeral);
            one.is_running() && one.sandbox_id == sandbox.id && one.created_at <= began && !is_ephemeral
        };
        let left: Vec<String> = self.seen.instances.iter().filter(is_left).map(|one| one.id.clone()).collect();
        let kill = |id: &String| Step::Kill { id: id.clone(), why: KillReason::AllRestart, grace_seconds: None };
        self.out.steps.extend(left.iter().map(kill));
        !left.is_empty()
    }

    fn finish(&mut self) {
        self.out.has_finished = true;
        if self.seen.is_quiet() {
            self.out.is_over = true;
        } else {
            self.out.steps.push(Step::KillPod { grace_seconds: self.pod.grace_seconds() });
        }
    }

    fn containers(&mut self, sandbox: &Sandbox) {
        self.round_began = self.last_round(sandbox);
        if self.end_round(sandbox) {
            return;
        }
        let main_began =
            self.pod.spec.containers.iter().any(|container| self.newest_in(&container.name, sandbox).is_some());
        let init = if main_began { self.keep_sidecars(sandbox) } else { self.init_containers(sandbox) };
        self.ephemeral_containers(sandbox);
        match init {
            Init::Failed => self.finish(),
            Init::Busy => (),
            Init::Done => self.main_containers(sandbox),
        }
    }

    /// Walks the init containers in order up to the first that is not done.
    fn init_containers(&mut self, sandbox: &Sandbox) -> Init {
        let pod = self.pod;
        for container in &pod.spec.init_containers {
            let Some(instance) = self.newest_in(&container.name, sandbox) else {
                self.start(container, Role::Init);
                return Init::Busy;
            };
            match &instance.state {
                State::Exited(exit) if exit.code == 0 && !container.is_sidecar() => (),
                State::Exited(exit) if !container.is_sidecar() && !self.restarts(Role::Init, container, exit.code) => {
                    return Init::Failed;
                }
                State::Running { .. } => {
                    self.kill_if_failed(instance);
                    if !container.is_sidecar() || !self.memory.is_started(container, instance) {
                        return Init::Busy;
                    }
                }
                State::Exited(_) | State::Created | State::Unknown => {
                    self.restart(container, Role::Init, instance);
                    return Init::Busy;
                }
            }
        }
        Init::Done
    }

    /// After the main containers began, init is over; only sidecars are kept running.
    fn keep_sidecars(&mut self, sandbox: &Sandbox) -> Init {
        let pod = self.pod;
        for container in pod.spec.init_containers.iter().filter(|container| container.is_sidecar()) {
            match self.newest_in(&container.name, sandbox) {
                Some(instance) if instance.is_running() => self.kill_if_failed(instance),
                Some(instance) => self.restart(container, Role::Init, instance),
                None => self.start(container, Role::Init),
            }
        }
        Init::Done
    }

    fn main_containers(&mut self, sandbox: &Sandbox) {
        let pod = self.pod;
        let mut left = 0;
        for container in &pod.spec.containers {
            let restarts = |code| self.restarts(Role::Main, container, code);
            // A container that succeeded in an older sandbox has succeeded.
            let done_before = self.round_began.is_none() && self.ended(container).is_some_and(|code| !restarts(code));
            match self.newest_in(&container.name, sandbox) {
                None if done_before => continue,
                None => self.start(container, Role::Main),
                Some(instance) => match &instance.state {
                    State::Running { .. } if instance.spec_hash != spec_hash(container) => {
                        self.kill(instance, KillReason::SpecChanged, None);
                    }
                    State::Running { .. } => self.kill_if_failed(instance),
                    State::Exited(exit) if !restarts(exit.code) => continue,
                    State::Exited(_) | State::Created | State::Unknown => {
                        self.restart(container, Role::Main, instance);
                    }
                },
            }
            left += 1;
        }
        if left == 0 {
            // Nothing is to be started beside what is stopped now.
            self.out.steps.clear();
            self.finish();
        }
    }

    fn ephemeral_containers(&mut self, sandbox: &Sandbox) {
        let pod = self.pod;
        for container in &pod.spec.ephemeral_containers {
            if self.seen.newest_in(&container.name, sandbox).is_none() {
                self.start(container, Role::Ephemeral);
            }
        }
    }

    fn kill_if_failed(&mut self, instance: &Instance) {
        let failed = self.memory.health.get(&instance.id).and_then(|health| health.failed);
        if let Some((why, grace_seconds)) = failed {
            self.kill(instance, why, grace_seconds);
        }
    }

    fn kill(&mut self, instance: &Instance, why: KillReason, grace_seconds: Option<i64>) {
        self.out.steps.push(Step::Kill { id: instance.id.clone(), why, grace_seconds });
    }

    /// Starts a container that ran before, once its back-off is over.
    fn restart(&mut self, container: &Container, role: Role, last: &Instance) {
        if let State::Exited(exit) = &last.state
            && let Some(wait) = self.memory.restarts.waiting(&container.name, exit.finished_at, self.now)
        {
            let delay = backoff::go_duration(wait.delay);
            let message =
                format!("back-off {delay} restarting failed container={} pod={}", container.name, self.pod.display());
            self.out.waiting.insert(container.name.clone(), Waiting::new("CrashLoopBackOff", message));
            return self.ask_again(wait.until);
        }
        self.start(container, role);
    }

    /// Starts a container, unless it has just failed to start.
    fn start(&mut self, container: &Container, role: Role) {
        if let Some(failure) = self.memory.failures.get(&container.name)
            && self.now < failure.retry_at
        {
            self.out.waiting.insert(container.name.clone(), failure.waiting.clone());
            return self.ask_again(failure.retry_at);
        }
        let attempt = self.next_attempt(container);
        self.out.steps.push(Step::Start { name: container.name.clone(), role, attempt });
    }

    fn ask_again(&mut self, at: Timestamp) {
        self.out.ask_again_at = Some(self.out.ask_again_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// One more than the attempts the runtime still knows, or else than the API was told of.
    fn next_attempt(&self, container: &Container) -> u32 {
        if let Some(last) = self.seen.newest(&container.name) {
            return last.attempt + 1;
        }
        let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
        let mut told = lists.iter().filter_map(|list| self.pod.status.get(list)?.as_array()).flatten();
        let Some(status) = told.find(|status| status["name"] == container.name.as_str()) else { return 0 };
        let ran = status["containerID"].as_str().is_some_and(|id| !id.is_empty());
        let count = status["restartCount"].as_u64().unwrap_or_default() as u32;
        if ran { count + 1 } else { count }
    }
}

/// Changes when a container must be replaced rather than kept: its image.
pub fn spec_hash(container: &Container) -> String {
    use sha2::{Digest, Sha256};
    let digest =
        Sha256::new().chain_update(&container.name).chain_update([0]).chain_update(&container.image).finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
