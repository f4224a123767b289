//! Feeds the queue from the API, and carries decisions out.
//!
//! Choosing is sequential and fast; binding waits for the store, so many bindings are under way at
//! a time, each assumed to succeed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::cluster::Cluster;
use super::cycle::{Decision, Diagnosis, schedule};
use super::framework::Happening;
use super::info::{PodInfo, PodRef};
use super::plugins::volumes::SELECTED_NODE;
use super::preempt::{self, Preemption};
use super::queue::Queue;
use crate::base::rand::RandRef;
use crate::base::service::Scope;
use crate::client::{Cache, Change, Client, DeleteOptions, Note, Recorder, Seen};
use crate::object::kind::{NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS};
use crate::object::tree::json;
use crate::object::view::{Node, Pod, Reference};
use crate::object::{Key, Kind, PatchKind, Reason, Status, Tree, TreePath};

/// Pods that are tried before new changes are looked at.
const BATCH_PODS_MAX: usize = 64;
const BINDINGS_MAX: usize = 512;

/// Starts scheduling in a task of `scope`. `client` acts as `system:kube-scheduler`.
pub fn start(scope: &Scope, cache: &Arc<Cache>, client: &Client, recorder: &Recorder, rand: &RandRef) {
    let context = Arc::new(Context {
        cache: cache.clone(),
        client: client.clone(),
        recorder: recorder.reporting_as(super::NAME),
        rand: rand.clone(),
    });
    scope.supervise("scheduler", move || {
        let context = context.clone();
        async move { run(context).await }
    });
}

struct Context {
    cache: Arc<Cache>,
    client: Client,
    recorder: Recorder,
    rand: RandRef,
}

/// What came of something that was under way.
enum Done {
    Bound(PodRef),
    /// The pod has to be tried again, if it still exists.
    NotBound(PodRef),
    /// A refusal has been told.
    Told,
}

const FOLLOWED: &[&Kind] = &[&NODE, &POD, &PERSISTENT_VOLUME_CLAIM, &PERSISTENT_VOLUME, &STORAGE_CLASS];

async fn run(context: Arc<Context>) -> Result<(), Infallible> {
    context.cache.synced().await;
    let mut changes = context.cache.subscribe(FOLLOWED);
    let mut state = State { cluster: Cluster::new(context.cache.snapshot()), queue: Queue::default(), start: 0 };
    let mut under_way: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
    loop {
        let news = changes.take();
        if !news.is_empty() {
            state.take_in(&context, news).await;
        }
        for _ in 0..BATCH_PODS_MAX {
            if under_way.len() >= BINDINGS_MAX {
                break;
            }
            let Some(pod) = state.queue.pop(context.cache.elapsed()) else { break };
            under_way.push(state.try_pod(&context, pod));
        }
        let may_try = state.queue.has_active() && under_way.len() < BINDINGS_MAX;
        let timer = state.queue.next_timer().map(|at| at.saturating_sub(context.cache.elapsed()));
        let pause = if may_try { Some(Duration::ZERO) } else { timer };
        tokio::select! {
            Some(done) = under_way.next() => state.finish(&context, done),
            news = changes.next() => state.take_in(&context, news).await,
            () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => (),
        }
    }
}

struct State {
    cluster: Cluster,
    queue: Queue,
    /// Where the next look over the nodes begins.
    start: usize,
}

impl State {
    async fn take_in(&mut self, context: &Context, news: Vec<(Key, Change)>) {
        self.cluster.snap = context.cache.snapshot();
        let now = context.cache.elapsed();
        for (key, change) in news {
            tokio::task::consume_budget().await;
            match key.resource() {
                "nodes" => self.take_in_node(&key, &change, now),
                "pods" => self.take_in_pod(&key, &change, now),
                _ => self.queue.happened(Happening::Volumes, now),
            }
        }
    }

    fn take_in_node(&mut self, key: &Key, change: &Change, now: Duration) {
        self.cluster.see_node(key.name(), change.after.as_ref());
        let read = |object: &Option<_>| object.as_ref().and_then(Seen::<Node>::new);
        match (read(&change.before), read(&change.after)) {
            (None, Some(_)) => self.queue.happened(Happening::NodeAppeared, now),
            (Some(before), Some(after)) => {
                if before.meta().labels != after.meta().labels {
                    self.queue.happened(Happening::NodeLabels, now);
                }
                if before.spec.taints != after.spec.taints || before.spec.unschedulable != after.spec.unschedulable {
                    self.queue.happened(Happening::NodeTaints, now);
                }
                if before.status.allocatable != after.status.allocatable {
                    self.queue.happened(Happening::NodeAllocatable, now);
                }
            }
            (_, None) => (),
        }
    }

    fn take_in_pod(&mut self, key: &Key, change: &Change, now: Duration) {
        self.cluster.see_pod(change.before.as_ref(), change.after.as_ref());
        let read = |object: &Option<_>| object.as_ref().and_then(Seen::<Pod>::new);
        let (before, after) = (read(&change.before), read(&change.after));
        let is_on_node =
            |pod: &Option<Seen<Pod>>| pod.as_ref().is_some_and(|pod| pod.is_scheduled() && !pod.is_terminal());
        match (is_on_node(&before), is_on_node(&after)) {
            (false, true) => self.queue.happened(Happening::PodPlaced, now),
            (true, false) => self.queue.happened(Happening::PodGone, now),
            _ => (),
        }
        let Some(pod) = after.filter(|pod| !pod.is_scheduled() && pod.is_active() && is_ours(pod)) else {
            return self.queue.remove(key);
        };
        if self.cluster.is_placed(pod.uid()) {
            return; // its binding is under way
        }
        let changed = before.is_some_and(|before| {
            before.meta().generation != pod.meta().generation || before.meta().labels != pod.meta().labels
        });
        let info = PodInfo::new(pod);
        if !info.pod.status.nominated_node_name.is_empty() {
            self.cluster.nominate(info.clone(), &info.pod.status.nominated_node_name);
        }
        self.queue.set(info, changed, now);
    }

    fn try_pod<'c>(&mut self, context: &'c Context, pod: PodRef) -> BoxFuture<'c, Done> {
        let decision = schedule(&self.cluster, &pod, self.start, context.rand.next_u64());
        match decision {
            Decision::Place { node, claims, next_start } => {
                self.start = next_start;
                if !claims.is_empty() {
                    // Once the claims are bound the pod is tried again, and only this node will do.
                    self.queue.park(pod.pod.key(), vec!["VolumeBinding"], context.cache.elapsed());
                    return Box::pin(context.choose_node_for(claims, node));
                }
                self.cluster.denominate(pod.uid());
                self.cluster.assume(pod.clone(), &node);
                Box::pin(context.bind(pod, node))
            }
            Decision::Refused(diagnosis) => {
                self.queue.park(pod.pod.key(), diagnosis.plugins(), context.cache.elapsed());
                let preemption = preempt::find(&self.cluster, &pod, &diagnosis);
                if let Ok(found) = &preemption {
                    self.cluster.nominate(pod.clone(), &found.node);
                }
                Box::pin(context.refuse(pod, diagnosis, preemption))
            }
        }
    }

    fn finish(&mut self, context: &Context, done: Done) {
        match done {
            Done::Bound(pod) => self.queue.remove(pod.pod.key()),
            Done::NotBound(pod) => {
                let is_bound_after_all = self
                    .cluster
                    .snap
                    .get::<Pod>(pod.pod.key())
                    .is_some_and(|seen| seen.uid() == pod.uid() && seen.is_scheduled());
                if !is_bound_after_all {
                    self.cluster.forget(pod.uid());
                    self.queue.retry(pod.pod.key(), context.cache.elapsed());
                }
            }
            Done::Told => (),
        }
    }
}

fn is_ours(pod: &Pod) -> bool {
    matches!(pod.spec.scheduler_name.as_str(), "" | super::NAME)
}

impl Context {
    async fn bind(&self, pod: PodRef, node: String) -> Done {
        let (namespace, name) = (pod.pod.namespace(), pod.pod.name());
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": namespace, "name": name, "uid": pod.uid()},
            "target": {"kind": "Node", "name": node},
        });
        match self.client.post(&POD, pod.pod.key(), "binding", binding).await {
            Ok(_) => {
                let message = format!("Successfully assigned {namespace}/{name} to {node}");
                self.tell(Note::normal(reference(&pod), "Scheduled", message), "Binding");
                Done::Bound(pod)
            }
            Err(status) => {
                if !matches!(status.reason, Reason::NotFound | Reason::Conflict) {
                    tracing::info!(pod = %pod.pod.key(), node, %status, "cannot bind");
                }
                Done::NotBound(pod)
            }
        }
    }

    async fn choose_node_for(&self, claims: Vec<Key>, node: String) -> Done {
        let mut annotations = json!({});
        annotations[SELECTED_NODE] = node.as_str().into();
        let body = json!({"metadata": {"annotations": annotations}});
        for claim in claims {
            let result = self.client.patch(&PERSISTENT_VOLUME_CLAIM, &claim, "", PatchKind::Merge, &body).await;
            if let Err(status) = result {
                tracing::info!(%claim, node, %status, "cannot say which node was chosen");
            }
        }
        Done::Told
    }

    /// Tells why the pod was refused, and drives off the victims, if there are any.
    async fn refuse(&self, pod: PodRef, diagnosis: Diagnosis, preemption: Result<Preemption, String>) -> Done {
        let why = preemption.as_ref().err().map(String::as_str);
        let message = diagnosis.message(why);
        self.tell(Note::warning(reference(&pod), "FailedScheduling", message.as_str()), "Scheduling");
        let node = preemption.as_ref().ok().map(|found| found.node.as_str());
        if let Err(status) = self.set_unschedulable(&pod, &message, node).await {
            tracing::debug!(pod = %pod.pod.key(), %status, "cannot note why the pod is not scheduled");
        }
        if let Ok(Preemption { node, victims }) = &preemption {
            for victim in victims.iter().filter(|victim| !victim.pod.is_deleting()) {
                if let Err(status) = self.drive_off(victim, &pod, node).await {
                    tracing::info!(victim = %victim.pod.key(), %status, "cannot preempt");
                }
            }
        }
        Done::Told
    }

    async fn set_unschedulable(&self, pod: &PodRef, message: &str, node: Option<&str>) -> Result<(), Status> {
        let old = pod.pod.condition("PodScheduled");
        let mut condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastProbeTime": Tree::Null,
        });
        if pod.pod.meta().generation > 0 {
            condition.set("observedGeneration", pod.pod.meta().generation);
        }
        if old.is_none_or(|old| old.status != "False") {
            condition.set("lastTransitionTime", self.cache.now());
        }
        let nominated = &pod.pod.status.nominated_node_name;
        let is_same =
            old.is_some_and(|old| old.status == "False" && old.reason == "Unschedulable" && old.message == message);
        if is_same && node.is_none_or(|node| node == nominated) {
            return Ok(());
        }
        let mut body = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
        if let Some(node) = node {
            body.set("status.nominatedNodeName", node);
        }
        self.client.patch(&POD, pod.pod.key(), "status", PatchKind::Strategic, &body).await.map(drop)
    }

    async fn drive_off(&self, victim: &PodRef, pod: &PodRef, node: &str) -> Result<(), Status> {
        let mut condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "message": format!("{}: preempting to accommodate a higher priority pod", super::NAME),
            "lastProbeTime": Tree::Null, "lastTransitionTime": self.cache.now(),
        });
        if victim.pod.meta().generation > 0 {
            condition.set("observedGeneration", victim.pod.meta().generation);
        }
        let kinds = victim.pod.status.conditions.iter().map(|known| known.kind.as_str());
        let order: Vec<Tree> = kinds
            .filter(|kind| *kind != "DisruptionTarget")
            .chain(["DisruptionTarget"])
            .map(|kind| json!({"type": kind}))
            .collect();
        let body = json!({
            "metadata": {"uid": victim.uid()},
            "status": {"$setElementOrder/conditions": order, "conditions": [condition]},
        });
        self.client.patch(&POD, victim.pod.key(), "status", PatchKind::Strategic, &body).await?;
        self.client.delete(&POD, victim.pod.key(), &DeleteOptions::of_uid(victim.uid())).await?;
        let message = format!("Preempted by pod {} on node {node}", pod.uid());
        let note = Note { related: Some(reference(pod)), ..Note::normal(reference(victim), "Preempted", message) };
        self.tell(note, "Preempting");
        Ok(())
    }

    fn tell(&self, note: Note, action: &'static str) {
        self.recorder.record(Note { action: Some(action), ..note });
    }
}

fn reference(pod: &PodRef) -> Reference {
    Reference::to(&POD, pod.pod.object())
}
