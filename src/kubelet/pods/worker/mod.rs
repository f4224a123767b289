//! One pod's worker: looks, decides, does, tells, and waits until something changes.
//!
//! Steps that take long are interrupted when the pod is to end, or to end sooner; everything is
//! looked at afresh afterwards. Meanwhile the status is kept up to date.

mod act;
mod end;
mod volumes;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use self::volumes::Volumes;
use super::allocate::Pending;
use super::plan::{Ending, Eviction, KillReason, Memory, Step, Steps, Waiting, next_steps};
use super::report::Report;
use super::seen::{Instance, Seen};
use super::status::{self, Facts};
use super::{resize, runtime};
use crate::base::service::Scope;
use crate::kubelet::context::ContextRef;
use crate::kubelet::counts::TERMINATED_CONTAINERS;
use crate::kubelet::images::Images;
use crate::kubelet::probes::Probes;
use crate::kubelet::spec::Pod;
use crate::object::{Timestamp, Tree};

/// How soon a pod is looked at again after a change, and how often when nothing happens any more: events
/// may be lost.
const LOOK_PERIOD_MIN: Duration = Duration::from_secs(5);
const LOOK_PERIOD_MAX: Duration = Duration::from_secs(90);
/// How long a look waits for the runtime's record, which lags behind its event.
const LAG_MAX: Duration = Duration::from_secs(2);
const LAG_STEP: Duration = Duration::from_millis(15);
const LAG_STEP_MAX: Duration = Duration::from_millis(240);
/// When a pod is looked at again whose end the runtime has told of but, being busy, not noted yet.
const LAG_PERIOD: Duration = Duration::from_secs(1);
const FAILURE_PAUSE: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// What a worker is told.
#[derive(Clone)]
pub struct Order {
    pub pod: Arc<Pod>,
    /// The API has the pod no more.
    pub is_gone: bool,
    /// Why the node will not run it.
    pub rejected: Option<Waiting>,
    /// Why the node runs it no longer.
    pub evicted: Option<Eviction>,
    /// Why it runs with less than it asks for.
    pub pending: Option<Pending>,
}

impl Order {
    /// Whether the pod uses the node, or will.
    pub fn takes_room(&self) -> bool {
        !self.is_gone && self.rejected.is_none() && !self.pod.is_terminal()
    }
}

/// The manager's side of a worker.
pub struct Handle {
    pub orders: watch::Sender<Order>,
    pub signals: Arc<Signals>,
}

/// What others let a worker know between orders.
#[derive(Default)]
pub struct Signals {
    pub bell: Arc<Notify>,
    /// Containers and sandboxes that have just ended, which the runtime may not have noted yet.
    ended: Mutex<HashSet<String>>,
    /// Ids of everything the runtime keeps of this pod.
    known_ids: Mutex<HashSet<String>>,
    sources_changed: std::sync::atomic::AtomicBool,
    seen: Mutex<Arc<Seen>>,
}

impl Signals {
    pub fn container_ended(&self, id: &str) {
        lock(&self.ended).insert(id.to_owned());
        self.bell.notify_one();
    }

    pub fn knows(&self, id: &str) -> bool {
        lock(&self.known_ids).contains(id)
    }

    /// A config map or secret that the pod reads has changed.
    pub fn source_changed(&self) {
        self.sources_changed.store(true, std::sync::atomic::Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// What the worker saw when it last looked.
    pub fn seen(&self) -> Arc<Seen> {
        lock(&self.seen).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Worker {
    ctx: ContextRef,
    images: Arc<Images>,
    scope: Scope,
    orders: watch::Receiver<Order>,
    signals: Arc<Signals>,
    memory: Mutex<Memory>,
    report: tokio::sync::Mutex<Report>,
    volumes: tokio::sync::Mutex<Volumes>,
    /// Held during calls to the runtime that must not be cut short: it would be left half done.
    calls: tokio::sync::Mutex<()>,
    /// When the kubelet first saw the pod.
    start_time: Timestamp,
}

impl Worker {
    pub fn new(ctx: ContextRef, images: Arc<Images>, scope: &Scope, order: Order) -> (Self, Handle) {
        let start_time = order.pod.start_time().unwrap_or_else(|| ctx.now());
        let (sender, orders) = watch::channel(order);
        let signals = Arc::new(Signals::default());
        let worker = Self {
            ctx,
            images,
            scope: scope.clone(),
            orders,
            signals: signals.clone(),
            memory: Mutex::default(),
            report: tokio::sync::Mutex::default(),
            volumes: tokio::sync::Mutex::default(),
            calls: tokio::sync::Mutex::default(),
            start_time,
        };
        (worker, Handle { orders: sender, signals })
    }

    /// Works until nothing of the pod is left, here and in the API.
    pub async fn run(mut self) {
        let mut probes = Probes::new(self.ctx.clone(), &self.scope, self.signals.bell.clone());
        let mut seen = Arc::new(Seen::default());
        let mut is_cleaned = false;
        let mut kill_began: Option<Duration> = None;
        let mut told_waits = std::collections::BTreeMap::new();
        let mut applied = resize::Applied::default();
        let mut period = LOOK_PERIOD_MIN;
        loop {
            let order = self.orders.borrow_and_update().clone();
            seen = match self.look(order.pod.uid(), &seen).await {
                Ok(now) => {
                    period = if now == seen { (period * 2).min(LOOK_PERIOD_MAX) } else { LOOK_PERIOD_MIN };
                    now
                }
                Err(error) => {
                    tracing::warn!(pod = %order.pod.display(), %error, "cannot ask the runtime about a pod");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    continue;
                }
            };
            let ending = self.ending(&order);
            if order.pod.metadata.is_deleting() && seen.is_quiet() {
                probes.stop();
            }
            probes.follow(&order.pod, &seen);
            lock(&self.memory).health = probes.health();
            let resizes = if ending.is_none() { resize::wanted(&order.pod, &seen, &mut applied) } else { Vec::new() };
            lock(&self.memory).resized = resize::Told { in_progress: !resizes.is_empty(), applied: applied.clone() };
            if !resizes.is_empty() {
                self.publish(&order, &seen, &Steps::default(), None).await;
                self.resize(&order.pod, &resizes, &mut applied).await;
                let left = resize::wanted(&order.pod, &seen, &mut applied);
                lock(&self.memory).resized = resize::Told { in_progress: !left.is_empty(), applied: applied.clone() };
            }
            if order.pod.metadata.is_deleting() {
                // Who is leaving is not judged any more.
                lock(&self.memory).health.values_mut().for_each(|health| health.failed = None);
            }
            let steps = {
                let memory = lock(&self.memory);
                next_steps(&order.pod, ending.as_ref(), &seen, &memory, self.ctx.now())
            };
            self.tell_waits(&order.pod, &steps, &told_waits);
            told_waits.clone_from(&steps.waiting);
            self.publish(&order, &seen, &steps, ending.as_ref()).await;

            if steps.is_over && !is_cleaned {
                is_cleaned = self.clean(&order, &seen).await;
                kill_began = None;
                if !is_cleaned {
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    continue;
                }
            }
            if steps.is_over && order.pod.metadata.is_deleting() && !order.is_gone {
                self.delete(&order, &seen).await;
            }
            if steps.is_over && (order.is_gone || self.orders.has_changed().is_err()) {
                self.forget(&order.pod, &seen).await;
                return;
            }
            if steps.steps.is_empty() {
                if self.sources_changed() {
                    // What was missing may be there now.
                    self.refresh_volumes(&order.pod, &seen, &steps, true).await;
                    continue;
                }
                self.refresh_volumes(&order.pod, &seen, &steps, false).await;
                self.wait(&order, &steps, period).await;
                continue;
            }
            is_cleaned = false;
            let steps = shorten(steps, &mut kill_began, self.ctx.clock.elapsed());
            self.carry_out(&order, &steps, &seen, &mut probes).await;
        }
    }

    /// Gives running containers what they ask for now; those that need a restart for it are failed.
    async fn resize(&self, pod: &Pod, resizes: &[resize::Resize], applied: &mut resize::Applied) {
        resize::apply(&self.ctx, pod, resizes, applied).await;
        let mut memory = lock(&self.memory);
        for resize in resizes.iter().filter(|resize| resize.needs_restart) {
            if let Some(health) = memory.health.get_mut(&resize.id) {
                health.failed = Some((KillReason::Resized, None));
            }
        }
    }

    /// Looks at the runtime until it has noted what its events said; what it has not noted by then is
    /// kept in mind for the next look.
    async fn look(&self, uid: &str, before: &Seen) -> crate::kubelet::cri::CriResult<Arc<Seen>> {
        let began = self.ctx.clock.elapsed();
        let mut pause = LAG_STEP;
        loop {
            let hints: HashSet<String> = lock(&self.signals.ended).clone();
            let seen = runtime::look(&self.ctx.cri, uid, before).await?;
            let live: HashSet<&String> = seen.live_ids().collect();
            let lags = hints.iter().any(|id| live.contains(id));
            if lags && self.ctx.clock.elapsed() - began < LAG_MAX {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAG_STEP_MAX);
                continue;
            }
            lock(&self.signals.ended).retain(|id| !hints.contains(id) || live.contains(id));
            let ids = seen.instances.iter().map(|one| &one.id).chain(seen.sandboxes.iter().map(|one| &one.id));
            *lock(&self.signals.known_ids) = ids.cloned().collect();
            self.count_ends(before, &seen);
            let seen = Arc::new(seen);
            *lock(&self.signals.seen) = seen.clone();
            return Ok(seen);
        }
    }

    /// Counts the instances that were not known to have ended.
    fn count_ends(&self, before: &Seen, now: &Seen) {
        let pod = &self.orders.borrow().pod;
        let ran = |one: &&Instance| before.instance(&one.id).is_some_and(|old| old.exit().is_none());
        for instance in now.instances.iter().filter(ran) {
            let Some(exit) = instance.exit() else { continue };
            let kind = pod.container(&instance.name).map_or("container", |(role, _)| role.counted_as());
            self.ctx.counts.add(&TERMINATED_CONTAINERS, &[kind, &exit.code.to_string(), &exit.reason]);
        }
    }

    fn ending(&self, order: &Order) -> Option<Ending> {
        let pod = &order.pod;
        if order.is_gone || pod.metadata.is_deleting() {
            return Some(Ending::Deleted);
        }
        if order.rejected.is_some() || pod.is_terminal() {
            return Some(Ending::Terminal);
        }
        if let Some(eviction) = &order.evicted {
            return Some(Ending::Evicted(eviction.clone()));
        }
        let deadline = self.deadline(pod)?;
        (self.ctx.now() >= deadline).then_some(Ending::DeadlineExceeded)
    }

    fn deadline(&self, pod: &Pod) -> Option<Timestamp> {
        let seconds = u64::try_from(pod.spec.active_deadline_seconds?).ok()?;
        Some(self.start_time + Duration::from_secs(seconds))
    }

    /// Back-offs that have just begun are told in events.
    fn tell_waits(&self, pod: &Pod, steps: &Steps, before: &std::collections::BTreeMap<String, Waiting>) {
        let begun = steps.waiting.iter().filter(|(name, waiting)| before.get(*name) != Some(*waiting));
        for (name, _) in begun.filter(|(_, waiting)| waiting.reason == "CrashLoopBackOff") {
            let message = format!("Back-off restarting failed container {name} in pod {}", pod.display());
            self.ctx.tell(pod, Some(name), true, "BackOff", message);
        }
    }

    async fn publish(&self, order: &Order, seen: &Seen, steps: &Steps, ending: Option<&Ending>) {
        if order.is_gone {
            return;
        }
        let mut report = self.report.lock().await;
        let mut pod = Pod::clone(&order.pod);
        pod.status = report.base(&order.pod.status);
        let status = match &order.rejected {
            Some(why) if !order.pod.is_terminal() => status::rejected(&pod, why, self.start_time),
            _ => {
                let memory = lock(&self.memory).clone();
                let facts = Facts {
                    pod: &pod,
                    seen,
                    memory: &memory,
                    steps,
                    ending,
                    pending: order.pending.as_ref(),
                    host_ips: &self.ctx.config.node_ips,
                    start_time: self.start_time,
                    now: self.ctx.now(),
                };
                status::status_of(&facts)
            }
        };
        self.send(&mut report, &order.pod, status).await;
    }

    async fn send(&self, report: &mut Report, pod: &Pod, status: Tree) {
        if let Err(error) = report.send(&self.ctx.client, pod, status).await {
            tracing::warn!(pod = %pod.display(), %error, "cannot write a pod's status");
        }
    }

    /// Waits for an order, a bell, the time the plan asks for, and no longer than `period`.
    async fn wait(&mut self, order: &Order, steps: &Steps, period: Duration) {
        let now = self.ctx.now();
        let until = |at: Timestamp| at.since(now).max(Duration::from_millis(1));
        let mut limit = steps.ask_again_at.map_or(period, until).min(period);
        if let Some(deadline) = self.deadline(&order.pod).filter(|_| !steps.is_over) {
            limit = limit.min(until(deadline));
        }
        let volumes = self.volumes.lock().await;
        if let Some(at) = volumes.tokens.renew_at().filter(|_| !steps.is_over) {
            limit = limit.min(until(at));
        }
        drop(volumes);
        if !lock(&self.signals.ended).is_empty() {
            limit = limit.min(LAG_PERIOD);
        }
        tokio::select! {
            _ = self.orders.changed() => (),
            () = self.signals.bell.notified() => (),
            () = tokio::time::sleep(limit) => (),
        }
    }
}

/// Takes off a kill's grace what an earlier, interrupted kill has used of it.
fn shorten(mut steps: Steps, kill_began: &mut Option<Duration>, now: Duration) -> Steps {
    let Some(Step::KillPod { grace_seconds }) = steps.steps.first_mut() else {
        *kill_began = None;
        return steps;
    };
    let began = *kill_began.get_or_insert(now);
    *grace_seconds = (*grace_seconds - (now - began).as_secs() as i64).max(0);
    steps
}
