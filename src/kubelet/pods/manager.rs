//! Hands the pods of this node to their workers, and the runtime's news as well.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;

use super::admit::{self, Node};
use super::allocate;
use super::make::names;
use super::plan::Eviction;
use super::sources::Wanted;
use super::worker::{Handle, Order, Worker};
use crate::base::service::Scope;
use crate::client::Change;
use crate::kubelet::containerd::events::{self, RuntimeEvent};
use crate::kubelet::context::ContextRef;
use crate::kubelet::images::Images;
use crate::kubelet::spec::Pod;
use crate::kubelet::volumes;
use crate::object::kind::{CONFIG_MAP, POD, SECRET};
use crate::object::{Key, ObjectRef, StringMap, Timestamp};

/// How often everything the runtime keeps is compared with what there should be.
const SWEEP_PERIOD: Duration = Duration::from_secs(120);
/// How often config maps and secrets are read again on nodes that are not told when they change.
const REREAD_PERIOD: Duration = Duration::from_secs(60);
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

pub struct Pods {
    ctx: ContextRef,
    images: Arc<Images>,
    scope: Scope,
    workers: Mutex<HashMap<String, Worked>>,
}

struct Worked {
    handle: Handle,
    key: Key,
    wanted: Wanted,
    /// The pod as the API has it; its worker may have to run it with less.
    asked: Arc<Pod>,
}

impl Pods {
    /// Starts the tasks that keep workers for the pods of this node.
    pub fn start(scope: &Scope, ctx: ContextRef) -> Arc<Self> {
        let pods =
            Arc::new(Self { ctx, images: Arc::default(), scope: scope.child("pods"), workers: Mutex::default() });
        let following = pods.clone();
        scope.spawn("pods", async move {
            tokio::select! {
                () = following.follow() => (),
                () = following.scope.stopping() => (),
            }
        });
        let listening = pods.clone();
        scope.spawn("runtime events", async move {
            tokio::select! {
                () = listening.listen() => (),
                () = listening.scope.stopping() => (),
            }
        });
        let sweeping = pods.clone();
        scope.spawn("pod sweep", async move {
            tokio::select! {
                () = sweeping.sweep() => (),
                () = sweeping.scope.stopping() => (),
            }
        });
        pods
    }

    /// The pod as its worker has it, by namespace and name.
    pub fn find(&self, namespace: &str, name: &str) -> Option<(Arc<Pod>, Arc<super::seen::Seen>)> {
        let workers = self.lock();
        let worked = workers.values().find(|worked| {
            let pod = &worked.handle.orders.borrow().pod;
            pod.namespace() == namespace && pod.name() == name
        })?;
        let pod = worked.handle.orders.borrow().pod.clone();
        Some((pod, worked.handle.signals.seen()))
    }

    /// Every pod that has a worker.
    pub fn all(&self) -> Vec<(Arc<Pod>, Arc<super::seen::Seen>)> {
        let workers = self.lock();
        let read = |worked: &Worked| (worked.handle.orders.borrow().pod.clone(), worked.handle.signals.seen());
        workers.values().map(read).collect()
    }

    /// The pods that run here and are not about to end.
    pub fn evictable(&self) -> Vec<Arc<Pod>> {
        let workers = self.lock();
        let orders = workers.values().map(|worked| worked.handle.orders.borrow().clone());
        let stays = |order: &Order| {
            !order.is_gone && order.rejected.is_none() && order.evicted.is_none() && !order.pod.is_terminal()
        };
        orders.filter(stays).map(|order| order.pod).collect()
    }

    /// Ends a pod, whose object stays to tell why.
    pub fn evict(&self, pod: &Pod, eviction: Eviction) {
        self.ctx.tell(pod, None, true, "Evicted", eviction.message.clone());
        if let Some(worked) = self.lock().get(pod.uid()) {
            worked.handle.orders.send_modify(|order| order.evicted = Some(eviction));
        }
    }

    async fn follow(self: &Arc<Self>) {
        self.ctx.cache.synced().await;
        let mut subscription = self.ctx.cache.subscribe(&[&POD, &CONFIG_MAP, &SECRET]);
        let mut reread = tokio::time::interval(REREAD_PERIOD);
        loop {
            let mut changes = tokio::select! {
                changes = subscription.next() => changes,
                _ = reread.tick() => {
                    self.reread_sources();
                    continue;
                }
            };
            // The older pod is admitted first.
            changes.sort_by_key(|(_, change)| created(change.latest()));
            for (key, change) in &changes {
                match key.resource() {
                    "pods" => self.pod_changed(key, change),
                    _ => self.source_changed(key),
                }
            }
            self.allocate_deferred();
        }
    }

    fn pod_changed(self: &Arc<Self>, key: &Key, change: &Change) {
        if let Some(object) = &change.after
            && let Some(pod) = self.mine(object)
        {
            let replaced = self.lock().values().any(|worked| worked.key == *key && uid_of(worked) != pod.uid());
            if replaced {
                self.gone(key, Some(pod.uid()));
            }
            self.order(key, pod);
            return;
        }
        self.gone(key, None);
    }

    /// The pod behind `object`, if it is bound to this node.
    fn mine(&self, object: &ObjectRef) -> Option<Pod> {
        let view = object.view::<crate::object::view::Pod>();
        if view.spec.node_name != self.ctx.config.node_name {
            return None;
        }
        match Pod::parse(object.bytes()) {
            Ok(pod) => Some(pod),
            Err(error) => {
                tracing::error!(pod = %object.key(), %error, "cannot read a pod; this is a bug worth reporting");
                None
            }
        }
    }

    fn order(self: &Arc<Self>, key: &Key, pod: Pod) {
        let uid = pod.uid().to_owned();
        let wanted = Wanted::by_pod(&pod);
        let mut workers = self.lock();
        if let Some(worked) = workers.get_mut(&uid) {
            worked.wanted = wanted;
            worked.asked = Arc::new(pod);
            self.allocate(&workers, &uid);
            return;
        }
        let asked = Arc::new(pod);
        let rejected = self.judge(&asked, &workers);
        if let Some(why) = &rejected {
            self.ctx.tell(&asked, None, true, &why.reason, why.message.clone());
        }
        let held = Arc::new(allocate::held_by_status(&asked));
        let order = Order { pod: held, is_gone: false, rejected, evicted: None, pending: None };
        self.spawn(&mut workers, &uid, key, wanted, asked, order);
        self.allocate(&workers, &uid);
    }

    /// Gives a pod what it asks for, as far as that fits beside what others were given.
    fn allocate(&self, workers: &HashMap<String, Worked>, uid: &str) {
        let Some(worked) = workers.get(uid) else { return };
        let before = worked.handle.orders.borrow().clone();
        let others: Vec<Arc<Pod>> = workers
            .iter()
            .filter(|(other, _)| *other != uid)
            .map(|(_, other)| other.handle.orders.borrow().clone())
            .filter(|order| order.takes_room())
            .map(|order| order.pod)
            .collect();
        let others: Vec<&Pod> = others.iter().map(AsRef::as_ref).collect();
        let (pod, pending) = allocate::allocate(Pod::clone(&worked.asked), &before.pod, &others, &self.ctx.allocatable);
        if let Some(pending) = pending.as_ref().filter(|pending| before.pending.as_ref() != Some(pending)) {
            let reason = format!("Resize{}", pending.reason);
            self.ctx.tell(&pod, None, true, &reason, pending.message.clone());
        }
        worked.handle.orders.send_modify(|order| {
            order.pod = Arc::new(pod);
            order.pending = pending;
        });
    }

    /// There may be room now for pods that wait to be resized.
    fn allocate_deferred(&self) {
        let workers = self.lock();
        let is_waiting = |worked: &Worked| worked.handle.orders.borrow().pending.is_some();
        for (uid, _) in workers.iter().filter(|(_, worked)| is_waiting(worked)) {
            self.allocate(&workers, uid);
        }
    }

    fn spawn(
        self: &Arc<Self>,
        workers: &mut HashMap<String, Worked>,
        uid: &str,
        key: &Key,
        wanted: Wanted,
        asked: Arc<Pod>,
        order: Order,
    ) {
        let (worker, handle) = Worker::new(self.ctx.clone(), self.images.clone(), &self.scope, order);
        let (pods, own_uid) = (self.clone(), uid.to_owned());
        self.scope.spawn("pod", async move {
            tokio::select! {
                () = worker.run() => drop(pods.lock().remove(&own_uid)),
                () = pods.scope.stopping() => (),
            }
        });
        workers.insert(uid.to_owned(), Worked { handle, key: key.clone(), wanted, asked });
    }

    /// A pod that has already been started is never rejected: the kubelet may have been restarted.
    fn judge(&self, pod: &Pod, workers: &HashMap<String, Worked>) -> Option<super::plan::Waiting> {
        if pod.start_time().is_some() || pod.is_terminal() || pod.metadata.is_deleting() {
            return None;
        }
        let snap = self.ctx.cache.snapshot();
        let node = snap.find::<crate::object::view::Node>("", &self.ctx.config.node_name);
        let labels = node.map(|node| node.meta().labels.clone()).unwrap_or_default();
        let others: Vec<Arc<Pod>> = workers
            .values()
            .map(|worked| worked.handle.orders.borrow().clone())
            .filter(Order::takes_room)
            .map(|order| order.pod)
            .collect();
        let others: Vec<&Pod> = others.iter().map(AsRef::as_ref).collect();
        let node = Node {
            labels: &labels,
            allocatable: &self.ctx.allocatable,
            others: &others,
            pods_max: self.ctx.config.pods_max,
            pressure: self.ctx.pressures.at(self.ctx.clock.elapsed()),
        };
        admit::admit(pod, &node).err()
    }

    /// Ends every worker of the pod called `key`, except that of `kept_uid`.
    fn gone(&self, key: &Key, kept_uid: Option<&str>) {
        for worked in self.lock().values() {
            if worked.key == *key && kept_uid != Some(uid_of(worked).as_str()) {
                worked.handle.orders.send_modify(|order| order.is_gone = true);
            }
        }
    }

    /// Has every pod look at its config maps and secrets again, where nobody tells of their changes.
    fn reread_sources(&self) {
        if self.ctx.cache.snapshot().kinds().any(|kind| *kind == SECRET) {
            return;
        }
        for worked in self.lock().values() {
            if !worked.wanted.secrets.is_empty() || !worked.wanted.config_maps.is_empty() {
                worked.handle.signals.source_changed();
            }
        }
    }

    fn source_changed(&self, key: &Key) {
        let is_config_map = key.resource() == "configmaps";
        for worked in self.lock().values() {
            let names = if is_config_map { &worked.wanted.config_maps } else { &worked.wanted.secrets };
            if worked.key.namespace() == key.namespace() && names.iter().any(|name| name == key.name()) {
                worked.handle.signals.source_changed();
            }
        }
    }

    /// Passes the ends of containers on to the workers of their pods.
    async fn listen(&self) {
        loop {
            match events::subscribe(self.ctx.cri.channel()).await {
                Ok(mut stream) => {
                    // Whatever was missed while nobody listened is found by looking.
                    self.ring_all();
                    while let Some(event) = stream.next().await {
                        self.heard(&event);
                    }
                    tracing::debug!("the stream of runtime events ended");
                }
                Err(error) => tracing::debug!(%error, "no runtime events"),
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    fn heard(&self, event: &RuntimeEvent) {
        let RuntimeEvent::Exited { container_id } = event else { return };
        let workers = self.lock();
        match workers.values().find(|worked| worked.handle.signals.knows(container_id)) {
            Some(worked) => worked.handle.signals.container_ended(container_id),
            // It ended before its worker looked: whoever started it will know it.
            None => workers.values().for_each(|worked| worked.handle.signals.container_ended(container_id)),
        }
    }

    fn ring_all(&self) {
        self.lock().values().for_each(|worked| worked.handle.signals.bell.notify_one());
    }

    /// Finds what belongs to no pod of the API: containers to stop, directories to remove.
    async fn sweep(self: &Arc<Self>) {
        self.ctx.cache.synced().await;
        loop {
            if let Err(error) = self.adopt_orphans().await {
                tracing::debug!(%error, "cannot list what the runtime keeps");
            }
            self.remove_orphan_dirs().await;
            tokio::time::sleep(SWEEP_PERIOD).await;
        }
    }

    /// Gives each pod that only the runtime knows a worker that ends it.
    async fn adopt_orphans(self: &Arc<Self>) -> crate::kubelet::cri::CriResult<()> {
        let mut found: BTreeMap<String, Pod> = BTreeMap::new();
        for sandbox in self.ctx.cri.sandboxes(&StringMap::new()).await? {
            let label = |name: &str| sandbox.labels.get(name).cloned().unwrap_or_default();
            let uid = label(names::POD_UID);
            if uid.is_empty() {
                continue;
            }
            let mut pod = Pod::default();
            pod.metadata.uid = uid.clone();
            pod.metadata.name = label(names::POD_NAME);
            pod.metadata.namespace = label(names::POD_NAMESPACE);
            pod.spec.termination_grace_period_seconds = Some(1);
            found.insert(uid, pod);
        }
        let live = self.live_uids();
        let mut workers = self.lock();
        for (uid, pod) in found {
            if workers.contains_key(&uid) || live.contains(&uid) {
                continue;
            }
            tracing::info!(pod = %pod.display(), "ending a pod that the API does not know");
            let key = POD.key(pod.namespace(), pod.name());
            let asked = Arc::new(pod);
            let order = Order { pod: asked.clone(), is_gone: true, rejected: None, evicted: None, pending: None };
            self.spawn(&mut workers, &uid, &key, Wanted::default(), asked, order);
        }
        Ok(())
    }

    fn live_uids(&self) -> std::collections::HashSet<String> {
        let snap = self.ctx.cache.snapshot();
        snap.pods_on_node(&self.ctx.config.node_name).iter().map(|pod| pod.uid().to_owned()).collect()
    }

    async fn remove_orphan_dirs(&self) {
        let dir = self.ctx.paths.kubelet.join("pods");
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let uid = entry.file_name().to_string_lossy().into_owned();
            if self.lock().contains_key(&uid) || self.live_uids().contains(&uid) {
                continue;
            }
            if let Err(error) = volumes::tear_down(&self.ctx, &uid).await {
                tracing::warn!(dir = %entry.path().display(), %error, "cannot remove what a pod left");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Worked>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn uid_of(worked: &Worked) -> String {
    worked.handle.orders.borrow().pod.uid().to_owned()
}

fn created(object: Option<&ObjectRef>) -> Timestamp {
    object.and_then(|object| object.meta().creation_timestamp).unwrap_or(Timestamp::UNIX_EPOCH)
}
