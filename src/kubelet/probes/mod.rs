//! Probes: one task for each probe of each running container, and what they believe.
//!
//! Liveness and readiness wait until the startup probe has succeeded. A liveness or startup probe
//! that has failed stays failed until its container is replaced.

mod count;
mod grpc;
pub mod http;
pub mod run;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use self::count::{Counter, Purpose};
use self::run::{Outcome, Place};
use super::context::{Context, ContextRef};
use super::pods::plan::{Health, KillReason};
use super::pods::seen::{Instance, Seen, State};
use super::spec::{Container, Pod, Probe};
use crate::base::service::Scope;
use crate::object::Timestamp;

/// The probes of one pod.
pub struct Probes {
    ctx: ContextRef,
    scope: Scope,
    /// Rung when a belief changes.
    changed: Arc<Notify>,
    running: HashMap<String, Watched>,
}

/// The probes of one container instance.
struct Watched {
    scope: Scope,
    beliefs: Arc<Beliefs>,
}

struct Beliefs {
    health: Mutex<Health>,
    started: watch::Sender<bool>,
}

impl Probes {
    pub fn new(ctx: ContextRef, scope: &Scope, changed: Arc<Notify>) -> Self {
        Self { ctx, scope: scope.child("probes"), changed, running: HashMap::new() }
    }

    /// Starts probes for containers that run now and stops those of containers that do not.
    pub fn follow(&mut self, pod: &Arc<Pod>, seen: &Seen) {
        self.running.retain(|id, watched| {
            let runs = seen.instance(id).is_some_and(Instance::is_running);
            if !runs {
                watched.scope.cancel();
            }
            runs
        });
        let pod_ip = match seen.sandboxes.first().and_then(|sandbox| sandbox.ips.first()) {
            Some(ip) if !pod.spec.host_network => ip.clone(),
            _ => self.ctx.config.node_ips.first().map(ToString::to_string).unwrap_or_default(),
        };
        for instance in seen.running() {
            if self.running.contains_key(&instance.id) {
                continue;
            }
            let Some((_, container)) = pod.container(&instance.name) else { continue };
            let State::Running { started_at } = instance.state else { continue };
            let place = Place { container_id: instance.id.clone(), pod_ip: pod_ip.clone() };
            let watched = self.watch(pod, container, place, started_at);
            self.running.insert(instance.id.clone(), watched);
        }
    }

    /// What is believed of each running container, by its id.
    pub fn health(&self) -> HashMap<String, Health> {
        self.running.iter().map(|(id, watched)| (id.clone(), *watched.beliefs.lock())).collect()
    }

    /// A pod that is being deleted is no longer judged by its liveness.
    pub fn stop(&mut self) {
        self.scope.cancel();
        self.running.clear();
    }

    fn watch(&self, pod: &Arc<Pod>, container: &Container, place: Place, started_at: Timestamp) -> Watched {
        let is_started = container.startup_probe.is_none();
        let health = Health { is_started, is_ready: container.readiness_probe.is_none(), failed: None };
        let beliefs = Arc::new(Beliefs { health: Mutex::new(health), started: watch::Sender::new(is_started) });
        let scope = self.scope.child("probe");
        let probes = [
            (Purpose::Startup, &container.startup_probe),
            (Purpose::Liveness, &container.liveness_probe),
            (Purpose::Readiness, &container.readiness_probe),
        ];
        for (purpose, probe) in probes {
            let Some(probe) = probe.clone() else { continue };
            let task = Task {
                ctx: self.ctx.clone(),
                pod: pod.clone(),
                container: container.clone(),
                place: place.clone(),
                purpose,
                probe,
                started_at,
                beliefs: beliefs.clone(),
                changed: self.changed.clone(),
            };
            let stopping = scope.clone();
            scope.spawn("probe", async move {
                tokio::select! {
                    () = task.run() => (),
                    () = stopping.stopping() => (),
                }
            });
        }
        Watched { scope, beliefs }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

impl Beliefs {
    fn lock(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    ctx: ContextRef,
    pod: Arc<Pod>,
    container: Container,
    place: Place,
    purpose: Purpose,
    probe: Probe,
    started_at: Timestamp,
    beliefs: Arc<Beliefs>,
    changed: Arc<Notify>,
}

impl Task {
    async fn run(self) {
        if self.purpose != Purpose::Startup {
            let mut started = self.beliefs.started.subscribe();
            if started.wait_for(|started| *started).await.is_err() {
                return;
            }
        }
        let delay = Duration::from_secs(self.probe.initial_delay_seconds);
        tokio::time::sleep(delay.saturating_sub(self.ctx.now().since(self.started_at))).await;
        let period = Duration::from_secs(self.probe.period_seconds.unwrap_or(10).max(1));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut counter = Counter::default();
        loop {
            ticks.tick().await;
            let outcome = run::probe(&self.ctx, &self.probe, &self.container, &self.place).await;
            let success = self.tell(&self.ctx, outcome);
            if let Some(belief) = counter.note(success, &self.probe)
                && self.believe(belief)
            {
                return;
            }
        }
    }

    /// Makes an event of what users should know. Returns whether the probe succeeded.
    fn tell(&self, ctx: &Context, outcome: Outcome) -> bool {
        let name = Some(self.container.name.as_str());
        let word = self.purpose.word();
        match outcome {
            Outcome::Success => true,
            Outcome::Warning(what) => {
                ctx.tell(&self.pod, name, true, "ProbeWarning", format!("{word} probe warning: {what}"));
                true
            }
            Outcome::Failure(what) => {
                ctx.tell(&self.pod, name, true, "Unhealthy", format!("{word} probe failed: {what}"));
                false
            }
            Outcome::Errored(what) => {
                let message = format!("{word} probe errored and resulted in unknown state: {what}");
                ctx.tell(&self.pod, name, true, "Unhealthy", message);
                false
            }
        }
    }

    /// Takes in a belief. Returns whether this probe has nothing more to find out.
    fn believe(&self, success: bool) -> bool {
        let before = *self.beliefs.lock();
        let mut after = before;
        let grace = self.probe.termination_grace_period_seconds;
        let is_done = match (self.purpose, success) {
            (Purpose::Readiness, _) => {
                after.is_ready = success;
                false
            }
            (Purpose::Startup, true) => {
                after.is_started = true;
                true
            }
            (Purpose::Startup, false) => {
                after.failed = Some((KillReason::StartupFailed, grace));
                true
            }
            (Purpose::Liveness, true) => false,
            (Purpose::Liveness, false) => {
                after.failed = Some((KillReason::LivenessFailed, grace));
                true
            }
        };
        if after != before {
            *self.beliefs.lock() = after;
            self.beliefs.started.send_replace(after.is_started);
            self.changed.notify_one();
        }
        is_done
    }
}
