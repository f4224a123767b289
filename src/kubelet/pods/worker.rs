//! One pod's worker: looks, decides, does, tells, and waits until something changes.
//!
//! Steps that take long are interrupted when the pod is to end, or to end sooner; everything is
//! looked at afresh afterwards. Meanwhile the status is kept up to date.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::plan::{Ending, Eviction, Failure, KillReason, Memory, Step, Steps, Waiting, next_steps};
use super::report::{self, Report};
use super::seen::{Seen, State};
use super::status::{self, Facts};
use super::{kill, resize, runtime, start};
use crate::base::service::Scope;
use crate::kubelet::context::ContextRef;
use crate::kubelet::images::Images;
use crate::kubelet::probes::Probes;
use crate::kubelet::spec::Pod;
use crate::kubelet::volumes::{self, Mounted, tokens::Tokens};
use crate::object::{Timestamp, Tree};

/// How often a pod is looked at when nothing happens: events may be lost.
const LOOK_PERIOD: Duration = Duration::from_secs(90);
/// How long the runtime's record may lag behind its event.
const LAG_MAX: Duration = Duration::from_secs(2);
const LAG_STEP: Duration = Duration::from_millis(15);
const FAILURE_PAUSE: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(15);

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
    /// When the kubelet first saw the pod.
    start_time: Timestamp,
}

#[derive(Default)]
struct Volumes {
    mounted: Option<Mounted>,
    tokens: Tokens,
    failures: u32,
    retry_at: Option<Timestamp>,
    /// The pod's labels, annotations and volumes when they were set up last.
    set_up_for: Option<Arc<Pod>>,
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
        loop {
            let order = self.orders.borrow_and_update().clone();
            seen = match self.look(order.pod.uid(), &seen).await {
                Ok(seen) => seen,
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
            if ending.is_none() {
                self.resize(&order.pod, &seen, &mut applied).await;
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
                self.wait(&order, &steps).await;
                continue;
            }
            is_cleaned = false;
            let steps = shorten(steps, &mut kill_began, self.ctx.clock.elapsed());
            self.carry_out(&order, &steps, &seen, &mut probes).await;
        }
    }

    /// Gives running containers what they ask for now; those that need a restart for it are failed.
    async fn resize(&self, pod: &Pod, seen: &Seen, applied: &mut resize::Applied) {
        let resizes = resize::wanted(pod, seen, applied);
        if resizes.is_empty() {
            return;
        }
        resize::apply(&self.ctx, pod, &resizes, applied).await;
        let mut memory = lock(&self.memory);
        for resize in resizes.iter().filter(|resize| resize.needs_restart) {
            if let Some(health) = memory.health.get_mut(&resize.id) {
                health.failed = Some((KillReason::Resized, None));
            }
        }
    }

    /// Looks at the runtime until it has noted what its events said.
    async fn look(&self, uid: &str, before: &Seen) -> crate::kubelet::cri::CriResult<Arc<Seen>> {
        let began = self.ctx.clock.elapsed();
        loop {
            let hints: HashSet<String> = lock(&self.signals.ended).clone();
            let seen = runtime::look(&self.ctx.cri, uid, before).await?;
            let lags = seen.instances.iter().any(|one| hints.contains(&one.id) && one.is_running())
                || seen.sandboxes.iter().any(|one| hints.contains(&one.id) && one.is_ready);
            if lags && self.ctx.clock.elapsed() - began < LAG_MAX {
                tokio::time::sleep(LAG_STEP).await;
                continue;
            }
            lock(&self.signals.ended).retain(|id| !hints.contains(id));
            let ids = seen.instances.iter().map(|one| &one.id).chain(seen.sandboxes.iter().map(|one| &one.id));
            *lock(&self.signals.known_ids) = ids.cloned().collect();
            let seen = Arc::new(seen);
            *lock(&self.signals.seen) = seen.clone();
            return Ok(seen);
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

    /// Waits for an order, a bell, or the time the plan asks for.
    async fn wait(&mut self, order: &Order, steps: &Steps) {
        let now = self.ctx.now();
        let until = |at: Timestamp| at.since(now).max(Duration::from_millis(1));
        let mut limit = steps.ask_again_at.map_or(LOOK_PERIOD, until).min(LOOK_PERIOD);
        if let Some(deadline) = self.deadline(&order.pod).filter(|_| !steps.is_over) {
            limit = limit.min(until(deadline));
        }
        let volumes = self.volumes.lock().await;
        if let Some(at) = volumes.tokens.renew_at().filter(|_| !steps.is_over) {
            limit = limit.min(until(at));
        }
        drop(volumes);
        tokio::select! {
            _ = self.orders.changed() => (),
            () = self.signals.bell.notified() => (),
            () = tokio::time::sleep(limit) => (),
        }
    }

    /// Carries out steps until done, or until the pod is to end (sooner).
    async fn carry_out(&self, order: &Order, steps: &Steps, seen: &Arc<Seen>, probes: &mut Probes) {
        let mut orders = self.orders.clone();
        orders.mark_unchanged();
        let work = async {
            for step in &steps.steps {
                if !self.step(&order.pod, step, seen).await {
                    break;
                }
            }
        };
        tokio::pin!(work);
        let is_killing = steps.steps.iter().all(|step| matches!(step, Step::KillPod { .. }));
        let mut now_seen = seen.clone();
        loop {
            tokio::select! {
                () = &mut work => return,
                changed = orders.changed() => {
                    let new = orders.borrow_and_update().clone();
                    let ends = new.is_gone || new.pod.metadata.is_deleting() || new.evicted.is_some();
                    let is_sooner = new.pod.grace_seconds() < order.pod.grace_seconds();
                    if changed.is_err() || (ends && (!is_killing || is_sooner)) {
                        return;
                    }
                }
                () = self.signals.bell.notified() => {
                    let Ok(fresh) = self.look(order.pod.uid(), &now_seen).await else { continue };
                    now_seen = fresh;
                    probes.follow(&order.pod, &now_seen);
                    lock(&self.memory).health = probes.health();
                    let told = Steps { waiting: steps.waiting.clone(), ..Steps::default() };
                    let ending = self.ending(order);
                    self.publish(order, &now_seen, &told, ending.as_ref()).await;
                }
            }
        }
    }

    /// Does one step. Returns whether the next one makes sense.
    async fn step(&self, pod: &Pod, step: &Step, seen: &Seen) -> bool {
        let ctx = &self.ctx;
        match step {
            Step::KillPod { grace_seconds } => {
                if let Err(error) = kill::pod(ctx, pod, seen, *grace_seconds).await {
                    ctx.tell(pod, None, true, "FailedKillPod", format!("error killing pod: {error}"));
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    return false;
                }
                true
            }
            Step::MakeSandbox { attempt } => self.make_sandbox(pod, *attempt).await,
            Step::Kill { id, why, grace_seconds } => {
                if let Some(instance) = seen.instance(id) {
                    let grace = grace_seconds.unwrap_or_else(|| pod.grace_seconds());
                    kill::container(ctx, pod, instance, seen, grace, Some(*why)).await;
                }
                true
            }
            Step::Start { name, role, attempt } => {
                let Some((_, container)) = pod.container(name) else { return true };
                if !self.volumes_ready(pod, seen, false).await {
                    return false;
                }
                let mounted = self.volumes.lock().await.mounted.clone().unwrap_or_default();
                if let Some(State::Exited(exit)) = seen.newest(name).map(|last| &last.state) {
                    lock(&self.memory).restarts.tried(name, exit.finished_at, ctx.now());
                }
                let images = &self.images;
                match start::container(ctx, images, pod, container, *role, *attempt, seen, &mounted).await {
                    Ok(()) => drop(lock(&self.memory).failures.remove(name)),
                    Err(failure) => drop(lock(&self.memory).failures.insert(name.clone(), failure)),
                }
                self.prune(seen, name).await;
                true
            }
        }
    }

    async fn make_sandbox(&self, pod: &Pod, attempt: u32) -> bool {
        if !self.volumes_ready(pod, &Seen::default(), false).await {
            return false;
        }
        if attempt > 0 {
            let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
            self.ctx.tell(pod, None, false, "SandboxChanged", message);
        }
        match start::sandbox(&self.ctx, pod, attempt).await {
            Ok(_) => {
                lock(&self.memory).sandbox_failure = None;
                true
            }
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                self.ctx.tell(pod, None, true, "FailedCreatePodSandBox", message.clone());
                let retry_at = self.ctx.now() + RETRY_FIRST * 5;
                lock(&self.memory).sandbox_failure =
                    Some(Failure { waiting: Waiting::new("ContainerCreating", message), retry_at });
                false
            }
        }
    }

    /// Sets the volumes up if that was not done, or is to be done again. Returns whether all are.
    async fn volumes_ready(&self, pod: &Pod, seen: &Seen, again: bool) -> bool {
        let mut volumes = self.volumes.lock().await;
        let volumes = &mut *volumes;
        if volumes.mounted.is_some() && !again {
            return true;
        }
        if let Some(at) = volumes.retry_at
            && self.ctx.now() < at
        {
            tokio::time::sleep(at.since(self.ctx.now())).await;
        }
        let ips = seen.sandboxes.first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
        match volumes::set_up(&self.ctx, pod, &self.ctx.on_node(&ips), &mut volumes.tokens).await {
            Ok(mounted) => {
                volumes.mounted = Some(mounted);
                volumes.failures = 0;
                volumes.retry_at = None;
                true
            }
            Err(error) => {
                self.ctx.tell(pod, None, true, "FailedMount", error.to_string());
                let delay = RETRY_FIRST * 2u32.saturating_pow(volumes.failures.min(10));
                volumes.failures += 1;
                volumes.retry_at = Some(self.ctx.now() + delay.min(RETRY_LONGEST));
                false
            }
        }
    }

    /// Whether a config map or secret of the pod has changed; starts that failed are then due.
    fn sources_changed(&self) -> bool {
        let changed = self.signals.sources_changed.swap(false, std::sync::atomic::Ordering::Relaxed);
        if changed {
            let now = self.ctx.now();
            lock(&self.memory).failures.values_mut().for_each(|failure| failure.retry_at = failure.retry_at.min(now));
        }
        changed
    }

    /// Brings mounted volumes up to date with their sources.
    async fn refresh_volumes(&self, pod: &Arc<Pod>, seen: &Seen, steps: &Steps, changed: bool) {
        if steps.is_over || seen.running().next().is_none() {
            return;
        }
        let is_due = {
            let mut volumes = self.volumes.lock().await;
            let now = self.ctx.now();
            let stale_token = volumes.tokens.renew_at().is_some_and(|at| at <= now);
            let same = |old: &Arc<Pod>| {
                old.metadata.labels == pod.metadata.labels && old.metadata.annotations == pod.metadata.annotations
            };
            let pod_changed = !volumes.set_up_for.as_ref().is_some_and(same);
            volumes.set_up_for = Some(pod.clone());
            changed || stale_token || pod_changed || volumes.mounted.is_none()
        };
        if is_due && !pod.spec.volumes.is_empty() {
            self.volumes_ready(pod, seen, true).await;
        }
    }

    /// Removes instances of a container that nobody asks about any more: all but the last two.
    async fn prune(&self, seen: &Seen, name: &str) {
        let old = seen.instances.iter().filter(|one| one.name == name && !one.is_running()).skip(1);
        for instance in old {
            if self.ctx.cri.remove_container(&instance.id).await.is_ok() && !instance.log_path.is_empty() {
                let _ = std::fs::remove_file(&instance.log_path);
            }
        }
    }

    /// Gives back what a pod that is over holds: volumes and control group. Returns whether all
    /// could be.
    async fn clean(&self, order: &Order, seen: &Seen) -> bool {
        let pod = &order.pod;
        let _ = seen;
        self.volumes.lock().await.mounted = None;
        if let Err(error) = volumes::unmount(&self.ctx, pod.uid()).await {
            tracing::warn!(pod = %pod.display(), %error, "cannot unmount a pod's volumes");
            return false;
        }
        if let Some(cgroups) = &self.ctx.cgroups {
            cgroups.remove_pod(pod.uid());
        }
        true
    }

    async fn delete(&self, order: &Order, seen: &Seen) {
        let pod = &order.pod;
        self.remove_remains(seen).await;
        if let Err(error) = report::delete(&self.ctx.client, pod).await {
            tracing::warn!(pod = %pod.display(), %error, "cannot delete a pod that has ended");
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }

    async fn remove_remains(&self, seen: &Seen) {
        for instance in &seen.instances {
            let _ = self.ctx.cri.remove_container(&instance.id).await;
        }
        for sandbox in &seen.sandboxes {
            let _ = self.ctx.cri.remove_sandbox(&sandbox.id).await;
        }
    }

    /// Removes the last traces of a pod that the API has no more.
    async fn forget(&self, pod: &Pod, seen: &Seen) {
        self.remove_remains(seen).await;
        self.images.forget_pod(pod.uid());
        if let Err(error) = volumes::tear_down(&self.ctx, pod.uid()).await {
            tracing::warn!(pod = %pod.display(), %error, "cannot remove a pod's directory");
        }
        if !pod.name().is_empty() {
            let logs = self.ctx.paths.pod_log_dir(pod.namespace(), pod.name(), pod.uid());
            let _ = std::fs::remove_dir_all(logs);
            remove_log_links(&self.ctx.paths.container_logs, pod);
        }
    }
}

fn remove_log_links(dir: &std::path::Path, pod: &Pod) {
    let prefix = format!("{}_{}_", pod.name(), pod.namespace());
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_dangling = !entry.path().exists();
        if is_dangling && entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = std::fs::remove_file(entry.path());
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
