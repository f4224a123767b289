//! Doing what the plan says, one step after another.

use std::sync::Arc;

use super::{FAILURE_PAUSE, Order, RETRY_FIRST, Worker, lock};
use crate::kubelet::counts::{FAILED_CONTAINERS, FAILED_PODS, STARTED_CONTAINERS, STARTED_PODS};
use crate::kubelet::pods::plan::{Failure, Step, Steps, Waiting};
use crate::kubelet::pods::seen::{Seen, State};
use crate::kubelet::pods::{kill, start};
use crate::kubelet::probes::Probes;
use crate::kubelet::spec::Pod;

impl Worker {
    /// Carries out steps until done, or until the pod is to end (sooner).
    pub(super) async fn carry_out(&self, order: &Order, steps: &Steps, seen: &Arc<Seen>, probes: &mut Probes) {
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
                        tokio::select! {
                            () = &mut work => (),
                            _ = self.calls.lock() => (),
                        }
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
    pub(super) async fn step(&self, pod: &Pod, step: &Step, seen: &Seen) -> bool {
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
                let (images, kind) = (&self.images, role.counted_as());
                ctx.counts.add(&STARTED_CONTAINERS, &[kind]);
                match start::container(ctx, images, &self.calls, pod, container, *role, *attempt, seen, &mounted).await
                {
                    Ok(()) => drop(lock(&self.memory).failures.remove(name)),
                    Err(failure) => {
                        ctx.counts.add(&FAILED_CONTAINERS, &[kind, &failure.waiting.reason]);
                        lock(&self.memory).failures.insert(name.clone(), failure);
                    }
                }
                self.prune(seen, name).await;
                true
            }
        }
    }

    pub(super) async fn make_sandbox(&self, pod: &Pod, attempt: u32) -> bool {
        if !self.volumes_ready(pod, &Seen::default(), false).await {
            return false;
        }
        if attempt > 0 {
            let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
            self.ctx.tell(pod, None, false, "SandboxChanged", message);
        }
        self.ctx.counts.add(&STARTED_PODS, &[]);
        match start::sandbox(&self.ctx, &self.calls, pod, attempt).await {
            Ok(_) => {
                lock(&self.memory).sandbox_failure = None;
                true
            }
            Err(error) => {
                self.ctx.counts.add(&FAILED_PODS, &[]);
                let message = format!("Failed to create pod sandbox: {error}");
                self.ctx.tell(pod, None, true, "FailedCreatePodSandBox", message.clone());
                let retry_at = self.ctx.now() + RETRY_FIRST * 5;
                lock(&self.memory).sandbox_failure =
                    Some(Failure { waiting: Waiting::new("ContainerCreating", message), retry_at });
                false
            }
        }
    }

    /// Removes instances of a container that nobody asks about any more: all but the last two.
    pub(super) async fn prune(&self, seen: &Seen, name: &str) {
        let old = seen.instances.iter().filter(|one| one.name == name && !one.is_running()).skip(1);
        for instance in old {
            if self.ctx.cri.remove_container(&instance.id).await.is_ok() && !instance.log_path.is_empty() {
                let _ = std::fs::remove_file(&instance.log_path);
            }
        }
    }
}
