//! Runs controllers: one queue each, one reconcile at a time for each key.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::execute::{Held, Outcome, execute};
use super::plan::{Failure, Plan};
use super::{Controller, Settings, Wake};
use crate::base::backoff::Backoff;
use crate::base::queue::Queue;
use crate::base::service::Scope;
use crate::client::{Cache, Change, Client, Recorder, Snapshot, Subscription};
use crate::object::{Key, Kind, Reason, User};

/// Keys of one controller that are worked on at a time.
const PARALLEL_KEYS_MAX: usize = 32;
const RETRY: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(120));
/// How long to wait for a commit to show up in the snapshot: only a broken watch takes longer.
const HOLD_MAX: Duration = Duration::from_secs(10);

/// Starts `controllers` in tasks of `scope`; they stop with it.
pub fn start(
    scope: &Scope,
    cache: &Arc<Cache>,
    client: &Client,
    recorder: &Recorder,
    settings: Settings,
    controllers: &[&'static Controller],
) {
    let settings = Arc::new(settings);
    for controller in controllers {
        let driver = Arc::new(Driver {
            controller,
            cache: cache.clone(),
            client: client.acting_as(user_of(controller)),
            recorder: recorder.reporting_as(controller.component),
            settings: settings.clone(),
        });
        scope.supervise(controller.name, move || {
            let driver = driver.clone();
            async move { driver.run().await }
        });
    }
}

fn user_of(controller: &Controller) -> Arc<User> {
    match controller.name {
        name if name.starts_with("system:") => User::named(name, &["system:authenticated"]),
        name => User::service_account("kube-system", name),
    }
}

struct Driver {
    controller: &'static Controller,
    cache: Arc<Cache>,
    client: Client,
    recorder: Recorder,
    settings: Arc<Settings>,
}

/// A key's turn, over.
struct Turn {
    key: Key,
    again_after: Option<Duration>,
    failure: Option<Failure>,
}

impl Driver {
    async fn run(&self) -> Result<(), Infallible> {
        self.cache.synced().await;
        let mut changes = self.subscribe();
        let mut queue = Queue::default();
        let mut failures: HashMap<Key, (u32, Failure)> = HashMap::new();
        let mut running = FuturesUnordered::new();
        loop {
            // With very many objects there is always something to do, and others have to come to their turn.
            tokio::task::consume_budget().await;
            let now = self.cache.elapsed();
            while running.len() < PARALLEL_KEYS_MAX {
                let Some(key) = queue.pop(now) else { break };
                let failure = failures.get(&key).map(|(_, failure)| failure.clone());
                running.push(self.turn(key, failure));
            }
            let timer = queue.next_timer().map(|at| at.saturating_sub(now));
            tokio::select! {
                changes = changes.next() => {
                    let snap = self.cache.snapshot();
                    for (key, change) in changes {
                        tokio::task::consume_budget().await;
                        self.wake(&snap, &key, &change, &mut queue);
                    }
                }
                Some(turn) = running.next() => {
                    let now = self.cache.elapsed();
                    queue.done(&turn.key);
                    if let Some(delay) = turn.again_after {
                        queue.add_at(turn.key.clone(), now + delay);
                    }
                    match turn.failure {
                        None => drop(failures.remove(&turn.key)),
                        Some(failure) => {
                            let entry = failures.entry(turn.key.clone()).or_insert((0, failure.clone()));
                            *entry = (entry.0 + 1, failure);
                            queue.add_at(turn.key, now + RETRY.delay(entry.0));
                        }
                    }
                }
                () = tokio::time::sleep(timer.unwrap_or(Duration::MAX)), if timer.is_some() => (),
            }
        }
    }

    fn subscribe(&self) -> Subscription {
        if self.controller.woken_by.iter().any(|wake| matches!(wake, Wake::Any(_))) {
            return self.cache.subscribe_all();
        }
        let others = self.controller.woken_by.iter().filter_map(|wake| match wake {
            Wake::OwnerOf(kind) | Wake::By(kind, _) => Some(*kind),
            Wake::Any(_) => None,
        });
        self.cache.subscribe(&self.controller.kind.into_iter().chain(others).collect::<Vec<_>>())
    }

    fn wake(&self, snap: &Snapshot, key: &Key, change: &Change, queue: &mut Queue<Key>) {
        if self.controller.kind.is_some_and(|kind| kind.is(key.resource())) {
            queue.add(key.clone());
        }
        for wake in self.controller.woken_by {
            match wake {
                Wake::OwnerOf(kind) if kind.is(key.resource()) => {
                    change.states().filter_map(|object| self.owner(object)).for_each(|key| queue.add(key));
                }
                Wake::By(kind, find) if kind.is(key.resource()) => {
                    find(snap, change).into_iter().for_each(|key| queue.add(key));
                }
                Wake::Any(find) => find(snap, change).into_iter().for_each(|key| queue.add(key)),
                Wake::OwnerOf(_) | Wake::By(..) => (),
            }
        }
    }

    /// The key of an object's controller, if that is of our kind.
    fn owner(&self, object: &crate::object::ObjectRef) -> Option<Key> {
        let (mine, owner) = (self.controller.kind?, object.meta().controller()?);
        let is_mine = Kind::of_reference(&owner.api_version, &owner.kind) == Some(mine);
        is_mine.then(|| mine.key(object.key().namespace(), &owner.name))
    }

    async fn turn(&self, key: Key, failure: Option<Failure>) -> Turn {
        let snap = self.cache.snapshot();
        let mut plan = Plan::new(self.settings.clone(), failure);
        let reconciled = catch_unwind(AssertUnwindSafe(|| (self.controller.reconcile)(&snap, &key, &mut plan)));
        if reconciled.is_err() {
            tracing::error!(controller = self.controller.name, %key, "reconcile panicked; this is a bug worth reporting");
            let message = "reconcile panicked".to_owned();
            let failure = Some(Failure { verb: "reconcile", reason: Reason::InternalError, message });
            return Turn { key, again_after: None, failure };
        }
        drop(snap);
        if !plan.steps.is_empty() {
            tracing::trace!(controller = self.controller.name, %key, %plan, "reconciled");
        }
        let again_after = plan.again_after;
        let Outcome { held, failure } = execute(&self.client, &self.recorder, plan.steps).await;
        if let Some(failure) = &failure {
            self.complain(&key, failure);
        }
        if tokio::time::timeout(HOLD_MAX, self.hold(held)).await.is_err() {
            tracing::warn!(controller = self.controller.name, %key, "own writes did not come back in time");
        }
        Turn { key, again_after, failure }
    }

    /// A conflict only means that someone was faster; the next attempt sees what they did.
    fn complain(&self, key: &Key, Failure { verb, reason, message }: &Failure) {
        let controller = self.controller.name;
        match reason {
            Reason::Conflict | Reason::NotFound | Reason::AlreadyExists => {
                tracing::debug!(controller, %key, "cannot {verb}: {message}; trying again");
            }
            _ => tracing::info!(controller, %key, "cannot {verb}: {message}; trying again"),
        }
    }

    /// Waits until the snapshot shows what was done, so that no key is reconciled against its own past.
    async fn hold(&self, held: Vec<Held>) {
        for held in held {
            match held {
                Held::Written(resource, revision) => self.cache.reached(&resource, revision).await,
                Held::Deleted(key, uid) => {
                    let is_gone = |snap: &Snapshot| {
                        snap.object(&key).is_none_or(|object| object.meta().uid() != uid || object.meta().is_deleting())
                    };
                    self.cache.until(|snap| is_gone(snap).then_some(())).await;
                }
            }
        }
    }
}
