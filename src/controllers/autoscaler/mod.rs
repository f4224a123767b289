//! HorizontalPodAutoscaler: scales what can be scaled by what its pods, or others, tell of their load.
//!
//! Each autoscaler is looked at every fifteen seconds, for what it follows are numbers that nobody
//! watches. Here is the shell: it asks for the scale, the pods and the metrics, and writes the scale and the
//! status. What the answers mean is worked out in [`round`], [`metric`], [`replicas`] and [`limits`].
//! A zero replicas target is left alone: scaling to and from zero is not in Kubernetes by default.

mod limits;
mod metric;
mod replicas;
mod round;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use self::limits::Memory;
use self::metric::{Metric, Question, no_match};
use self::round::{Round, Wish};
use crate::base::queue::Queue;
use crate::base::service::Scope;
use crate::client::{Cache, Client, Recorder, Seen, Snapshot};
use crate::object::kind::{HORIZONTAL_POD_AUTOSCALER, POD};
use crate::object::view::{HorizontalPodAutoscaler, Pod};
use crate::object::{Body, Key, Kind, Options, Reason, Reply, Status, Tree, TreePath, User};

const NAME: &str = "horizontal-pod-autoscaler";
const PERIOD: Duration = Duration::from_secs(15);
const PARALLEL_KEYS_MAX: usize = 5;
/// How often a scale is tried again that others change at the same time.
const ATTEMPTS_MAX: usize = 5;

struct Autoscaler {
    cache: Arc<Cache>,
    client: Client,
    recorder: Recorder,
    memories: Mutex<HashMap<Key, Memory>>,
    /// The pods that each autoscaler found when it last looked: two must not steer the same ones.
    found: Mutex<BTreeMap<Key, BTreeSet<String>>>,
}

/// Scales in tasks of `scope`.
pub fn start(scope: &Scope, cache: &Arc<Cache>, client: &Client, recorder: &Recorder) {
    let autoscaler = Arc::new(Autoscaler {
        cache: cache.clone(),
        client: client.acting_as(User::service_account("kube-system", NAME)),
        recorder: recorder.reporting_as(NAME),
        memories: Mutex::default(),
        found: Mutex::default(),
    });
    scope.supervise(NAME, move || {
        let autoscaler = autoscaler.clone();
        async move { autoscaler.run().await }
    });
}

/// What the target of an autoscaler is scaled by.
struct Scale {
    kind: Kind,
    tree: Tree,
}

impl Scale {
    fn replicas(&self) -> i64 {
        self.tree.int("spec.replicas").unwrap_or(0)
    }
}

impl Autoscaler {
    async fn run(&self) -> Result<(), Infallible> {
        self.cache.synced().await;
        let mut changes = self.cache.subscribe(&[&HORIZONTAL_POD_AUTOSCALER]);
        let mut queue = Queue::default();
        let mut running = FuturesUnordered::new();
        loop {
            let now = self.cache.elapsed();
            while running.len() < PARALLEL_KEYS_MAX {
                let Some(key) = queue.pop(now) else { break };
                running.push(self.turn(key));
            }
            let timer = queue.next_timer().map(|at| at.saturating_sub(now));
            tokio::select! {
                // A change does not hurry anything: what is due sooner stays so.
                changes = changes.next() => changes.into_iter().for_each(|(key, _)| queue.add_at(key, now + PERIOD)),
                Some((key, is_there)) = running.next() => {
                    queue.done(&key);
                    if is_there {
                        queue.add_at(key, self.cache.elapsed() + PERIOD);
                    }
                }
                () = tokio::time::sleep(timer.unwrap_or(Duration::MAX)), if timer.is_some() => (),
            }
        }
    }

    /// Looks at one autoscaler; tells whether it is still there.
    async fn turn(&self, key: Key) -> (Key, bool) {
        let snap = self.cache.snapshot();
        let Some(hpa) = snap.get::<HorizontalPodAutoscaler>(&key) else {
            lock(&self.memories).remove(&key);
            lock(&self.found).remove(&key);
            return (key, false);
        };
        let mut memory = lock(&self.memories).remove(&key).unwrap_or_default();
        let mut round = Round::new(&hpa, snap.now());
        self.look(&snap, &hpa, &mut round, &mut memory).await;
        lock(&self.memories).insert(key.clone(), memory);
        if let Some(object) = round.changed()
            && let Err(status) = self.client.update_status(&HORIZONTAL_POD_AUTOSCALER, object).await
            && !status.is(Reason::NotFound)
        {
            round.warn("FailedUpdateStatus", status.message);
        }
        round.notes.into_iter().for_each(|note| self.recorder.record(note));
        (key, true)
    }

    async fn look(
        &self,
        snap: &Snapshot,
        hpa: &Seen<HorizontalPodAutoscaler>,
        round: &mut Round<'_>,
        memory: &mut Memory,
    ) {
        let mut scale = match self.scale(snap, hpa).await {
            Ok(scale) => scale,
            Err(why) => return round.no_scale(&why),
        };
        let current = scale.replicas();
        round.has_scale();
        memory.begin(current, round.now);
        let wish = match round.by_bounds(current) {
            Some(wish) => wish,
            None => match self.wish(snap, hpa, &scale, round).await {
                Ok(desired) => round.within_limits(memory, current, desired),
                Err((why, metrics)) => return round.no_wish(current, metrics, why),
            },
        };
        let Wish { replicas, reason, metrics } = wish;
        if replicas == current {
            return round.stays(current, metrics);
        }
        match self.resize(hpa, &mut scale, replicas).await {
            Ok(()) => {
                memory.scaled(current, replicas, &round.behavior, round.now);
                round.scaled(current, replicas, &reason, metrics);
            }
            Err(status) => round.not_scaled(current, replicas, &reason, &status.message, metrics),
        }
    }

    /// The scale of what an autoscaler is for.
    async fn scale(&self, snap: &Snapshot, hpa: &Seen<HorizontalPodAutoscaler>) -> Result<Scale, String> {
        let at = &hpa.spec.scale_target_ref;
        let (group, version) = at.api_version.split_once('/').unwrap_or(("", &at.api_version));
        if version.contains('/') {
            return Err(format!("unexpected GroupVersion string: {}", at.api_version));
        }
        let kind = snap.kind_named(&at.api_version, &at.kind).ok_or_else(|| no_match(&at.kind, group))?.clone();
        let tree = self.get_scale(&kind, hpa).await.map_err(|status| status.message)?;
        Ok(Scale { kind, tree })
    }

    async fn get_scale(&self, kind: &Kind, hpa: &Seen<HorizontalPodAutoscaler>) -> Result<Tree, Status> {
        self.client.read(kind, hpa.namespace(), &hpa.spec.scale_target_ref.name, "scale").await
    }

    async fn resize(
        &self,
        hpa: &Seen<HorizontalPodAutoscaler>,
        scale: &mut Scale,
        replicas: i64,
    ) -> Result<(), Status> {
        let mut attempt = 1;
        loop {
            scale.tree.set("spec.replicas", replicas);
            match self.client.put(&scale.kind, "scale", scale.tree.clone()).await {
                Err(status) if status.is(Reason::Conflict) && attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    scale.tree = self.get_scale(&scale.kind, hpa).await?;
                }
                result => return result.map(drop),
            }
        }
    }

    /// The replicas that the metrics ask for. The error comes with what is known of the metrics.
    async fn wish(
        &self,
        snap: &Snapshot,
        hpa: &Seen<HorizontalPodAutoscaler>,
        scale: &Scale,
        round: &mut Round<'_>,
    ) -> Result<round::Desired, (String, Tree)> {
        let selector = scale.tree.text("status.selector");
        let pods = self.pods(hpa, selector, round).await.map_err(|why| (why, Tree::Null))?;
        let mut answers = Vec::new();
        for spec in round.metrics.iter() {
            answers.push(match Metric::of(spec).question(snap, hpa.namespace(), selector) {
                Ok(question) => self.ask(question).await,
                Err(why) => Err(why),
            });
        }
        let replicas = (scale.replicas(), scale.tree.int("status.replicas").unwrap_or(0));
        round.judge(&pods, answers, replicas, hpa.namespace())
    }

    /// The pods behind a scale, unless others steer them as well.
    async fn pods(
        &self,
        hpa: &Seen<HorizontalPodAutoscaler>,
        selector: &str,
        round: &mut Round<'_>,
    ) -> Result<Vec<Seen<Pod>>, String> {
        if selector.is_empty() {
            return Err(round.bad_selector("SelectorRequired", "selector is required".into()));
        }
        // What this server knows will do: nobody waits for others to confirm it.
        let options = Options { label_selector: selector.into(), resource_version: "0".into(), ..Options::default() };
        let list = match self.client.list(&POD, hpa.namespace(), options).await {
            Ok(list) => list,
            Err(status) if status.is(Reason::BadRequest) => {
                let told = "couldn't convert selector into a corresponding internal selector object";
                return Err(round.bad_selector("InvalidSelector", format!("{told}: {}", status.message)));
            }
            Err(status) => return Err(status.message),
        };
        let pods: Vec<Seen<Pod>> = list.items.iter().filter_map(Seen::new).collect();
        let mut found = lock(&self.found);
        found.insert(hpa.key().clone(), pods.iter().map(|pod| pod.uid().to_owned()).collect());
        let is_ours = |uids: &BTreeSet<String>| pods.iter().any(|pod| uids.contains(pod.uid()));
        let steering: Vec<String> = found
            .iter()
            .filter(|(_, uids)| is_ours(uids))
            .map(|(key, _)| format!("{{{} {}}}", key.name(), key.namespace()))
            .collect();
        drop(found);
        if steering.len() > 1 {
            let all = steering.join(" ");
            let told = format!("pods by selector {selector} are controlled by multiple HPAs: [{all}]");
            return Err(round.bad_selector("AmbiguousSelector", told));
        }
        Ok(pods)
    }

    async fn ask(&self, question: Question) -> Result<Tree, String> {
        let Question { verb, target, options } = question;
        match self.client.send(verb, target.clone(), options, Body::None).await {
            Ok(Reply::Tree { tree, .. }) => Ok(tree),
            Ok(_) => Err("the server answered with something else than metrics".into()),
            Err(status) => Err(metric::told(&status, &target)),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
