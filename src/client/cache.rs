//! One copy of the cluster's state for every loop of a process.
//!
//! The cache lists and watches what it is told to follow, publishes a new [`Snapshot`] after every
//! batch of changes, and then tells its subscribers which keys changed. It survives lost
//! connections and expired revisions by itself. What it holds may be old, but never goes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::news::{News, gone_change};
use super::snapshot::{Snapshot, State};
use super::subscription::{Change, Mailbox, Subscription};
use super::{Client, custom, follow};
use crate::base::clock::ClockRef;
use crate::base::service::Scope;
use crate::object::{GroupResource, Key, Kind, Revision, Timestamp};

/// A resource to follow, or the part of it that the selectors choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    pub kind: Kind,
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
}

impl Follow {
    pub fn all(kind: &Kind) -> Self {
        Self {
            kind: kind.clone(),
            namespace: String::new(),
            label_selector: String::new(),
            field_selector: String::new(),
        }
    }

    /// Every built-in resource but events, which nobody reconciles.
    pub fn built_in() -> Vec<Self> {
        use crate::object::kind::{BUILT_IN, EVENT};
        BUILT_IN.iter().filter(|kind| **kind != &EVENT).map(|kind| Self::all(kind)).collect()
    }
}

pub struct Cache {
    client: Client,
    scope: Scope,
    clock: ClockRef,
    shared: Mutex<Shared>,
    published: ArcSwap<State>,
    /// Counts publications, for those who wait for a state.
    published_count: watch::Sender<u64>,
}

#[derive(Default)]
struct Shared {
    state: State,
    listeners: Vec<Weak<Mailbox>>,
    followers: HashMap<GroupResource, (Follow, Scope)>,
}

impl Cache {
    /// Starts to follow `follows` in tasks of `scope`.
    pub fn start(scope: &Scope, client: Client, clock: ClockRef, follows: Vec<Follow>) -> Arc<Self> {
        let cache = Arc::new(Self {
            client,
            scope: scope.child("cache"),
            clock,
            shared: Mutex::default(),
            published: ArcSwap::default(),
            published_count: watch::Sender::new(0),
        });
        for follow in follows {
            cache.follow(follow);
        }
        cache
    }

    /// Follows the resources that custom resource definitions make, as they come and go.
    pub fn follow_custom_resources(self: &Arc<Self>) {
        let cache = self.clone();
        self.scope.spawn("custom resources", async move { custom::run(cache).await });
    }

    /// Starts to follow one more resource; the same one once only.
    pub fn follow(self: &Arc<Self>, follow: Follow) {
        let resource = follow.kind.resource();
        let scope = {
            let mut shared = self.lock();
            if shared.followers.get(&resource).is_some_and(|(known, _)| *known == follow) {
                return;
            }
            let scope = self.scope.child("follow");
            shared.state.reach(&follow.kind, Revision::ZERO, false);
            if let Some((_, old)) = shared.followers.insert(resource, (follow.clone(), scope.clone())) {
                old.cancel();
            }
            self.publish(&mut shared, &[]);
            scope
        };
        let (cache, stopping) = (self.clone(), scope.clone());
        scope.spawn("follow", async move {
            tokio::select! {
                () = follow::run(&cache, &follow) => (),
                () = stopping.stopping() => (),
            }
        });
    }

    /// Stops following a resource and forgets its objects.
    pub fn unfollow(&self, resource: &GroupResource) {
        let mut shared = self.lock();
        if let Some((_, scope)) = shared.followers.remove(resource) {
            scope.cancel();
        }
        let gone = shared.state.forget(resource);
        let changes: Vec<_> = gone.into_iter().map(gone_change).collect();
        self.publish(&mut shared, &changes);
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.published.load_full(), self.now())
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.wall_nanos())
    }

    /// Time on the monotonic clock that timers use.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Every change of these kinds from now on, beginning with what already exists.
    pub fn subscribe(&self, kinds: &[&Kind]) -> Subscription {
        self.listen(Some(kinds.iter().map(|kind| kind.resource()).collect()))
    }

    /// As [`Cache::subscribe`], for all that is followed.
    pub fn subscribe_all(&self) -> Subscription {
        self.listen(None)
    }

    fn listen(&self, wanted: Option<Vec<GroupResource>>) -> Subscription {
        let mut shared = self.lock();
        let subscription = Subscription::new(wanted, shared.state.clone());
        shared.listeners.push(Arc::downgrade(&subscription.mailbox));
        subscription
    }

    /// Waits until `look` finds what it wants in a snapshot.
    pub async fn until<T>(&self, mut look: impl FnMut(&Snapshot) -> Option<T>) -> T {
        let mut published = self.published_count.subscribe();
        loop {
            published.mark_unchanged();
            if let Some(found) = look(&self.snapshot()) {
                return found;
            }
            // The sender lives in `self`, so there is always a next time.
            let _ = published.changed().await;
        }
    }

    /// Waits until everything that is followed has been listed once.
    pub async fn synced(&self) {
        self.until(|snap| snap.is_synced().then_some(())).await;
    }

    /// Waits until `resource` is known up to `revision`; at once if it is not followed.
    pub async fn reached(&self, resource: &GroupResource, revision: Revision) {
        if self.lock().followers.contains_key(resource) {
            self.until(|snap| snap.has_reached(resource, revision).then_some(())).await;
        }
    }

    pub(super) fn revision(&self, kind: &Kind) -> Revision {
        self.lock().state.revision(&kind.resource()).unwrap_or_default()
    }

    /// Takes in news about what `follow` chooses, unless nobody follows it any more.
    pub(super) fn take_in(&self, follow: &Follow, news: News) {
        let mut shared = self.lock();
        if !shared.followers.get(&follow.kind.resource()).is_some_and(|(current, _)| current == follow) {
            return;
        }
        let (state, now) = (&mut shared.state, self.now());
        let changes = news.apply(state, &follow.kind, now);
        self.publish(&mut shared, &changes);
    }

    fn publish(&self, shared: &mut Shared, changes: &[(Key, Change)]) {
        self.published.store(Arc::new(shared.state.clone()));
        self.published_count.send_modify(|count| *count += 1);
        shared.listeners.retain(|listener| match listener.upgrade() {
            Some(mailbox) => {
                mailbox.deliver(changes);
                true
            }
            None => false,
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
