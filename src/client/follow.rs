//! Following one resource: list, watch, and again, whatever happens to the connection.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};

use super::cache::{Cache, Follow};
use super::news::News;
use crate::base::backoff::Backoff;
use crate::object::{Event, ObjectRef, Options, Reason, Revision, Status};

const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));
/// For a resource that the server does not have: it may come in a moment, as one does whose definition was
/// just established, or never.
const ABSENT_RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(30));
const BATCH_EVENTS_MAX: usize = 1024;

/// Never returns; the caller cancels it.
pub(super) async fn run(cache: &Cache, follow: &Follow) {
    let (mut failures, mut absences) = (0, 0);
    let mut listed = false;
    loop {
        let result = if listed { watch(cache, follow, &mut failures).await } else { list(cache, follow).await };
        let pause = match result {
            Ok(()) => {
                listed = true;
                absences = 0;
                Duration::ZERO
            }
            Err(status) if matches!(status.reason, Reason::Expired | Reason::Gone) => {
                listed = false;
                failures += 1;
                RETRY.delay(failures)
            }
            Err(status) if status.is(Reason::NotFound) => {
                tracing::debug!(kind = ?follow.kind, "the server does not have this resource");
                cache.take_in(
                    follow,
                    News::Listed { found: HashSet::new(), rest: Vec::new(), revision: Revision::ZERO },
                );
                absences += 1;
                ABSENT_RETRY.delay(absences)
            }
            Err(status) => {
                failures += 1;
                tracing::debug!(kind = ?follow.kind, %status, failures, "following was interrupted");
                RETRY.delay(failures)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn list(cache: &Cache, follow: &Follow) -> Result<(), Status> {
    let list = cache.client().list(&follow.kind, &follow.namespace, options(follow)).await?;
    let (mut items, mut found) = (list.items.into_iter(), HashSet::new());
    // Reading what is in very many objects takes a while, in which others have to come to their turn.
    while items.len() > BATCH_EVENTS_MAX {
        let part: Vec<ObjectRef> = items.by_ref().take(BATCH_EVENTS_MAX).collect();
        found.extend(part.iter().map(|item| item.key().clone()));
        cache.take_in(follow, News::Found(part));
        tokio::task::yield_now().await;
    }
    cache.take_in(follow, News::Listed { found, rest: items.collect(), revision: list.revision });
    Ok(())
}

/// Takes in changes until the stream ends.
async fn watch(cache: &Cache, follow: &Follow, failures: &mut u32) -> Result<(), Status> {
    let options = Options {
        resource_version: cache.revision(&follow.kind).to_string(),
        allow_watch_bookmarks: true,
        ..options(follow)
    };
    // Its end may be met inside a batch, and is asked for once more.
    let mut events = cache.client().watch(&follow.kind, &follow.namespace, options).await?.fuse();
    while let Some(first) = events.next().await {
        *failures = 0;
        let mut batch: Vec<Event> = vec![first?];
        let mut end = None;
        while batch.len() < BATCH_EVENTS_MAX {
            match events.next().now_or_never() {
                Some(Some(Ok(event))) => batch.push(event),
                Some(Some(Err(status))) => {
                    end = Some(status);
                    break;
                }
                Some(None) | None => break,
            }
        }
        cache.take_in(follow, News::Changed(batch));
        if let Some(status) = end {
            return Err(status);
        }
    }
    Ok(())
}

fn options(follow: &Follow) -> Options {
    Options {
        label_selector: follow.label_selector.clone(),
        field_selector: follow.field_selector.clone(),
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::BoxFuture;
    use futures_util::stream;

    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::service::Scope;
    use crate::client::{Backend, Client, Events};
    use crate::object::kind::POD;
    use crate::object::{Answer, Call, List, Object, Reply, User};

    /// Lists nothing; each of its watches brings one pod, and ends at once.
    struct Short(AtomicU64);

    impl Backend for Short {
        fn call(&self, _: Call) -> BoxFuture<'_, Result<Answer, Status>> {
            let list =
                List { items: Vec::new(), revision: Revision(1), continue_token: String::new(), remaining: None };
            Box::pin(async { Ok(Answer { reply: Reply::List(list), warnings: Vec::new() }) })
        }

        fn watch(&self, _: Call) -> BoxFuture<'_, Result<Events, Status>> {
            let number = self.0.fetch_add(1, Ordering::SeqCst) + 2;
            let pod = Object::new(POD.key("default", &format!("pod-{number}")), Revision(number), "{}".into());
            let events = stream::unfold(Some(pod), |pod| async move { Some((Ok(Event::Added(pod?)), None)) });
            Box::pin(async { Ok(events.boxed()) })
        }
    }

    /// Lists very many pods, the first time all of them, and lets nobody watch.
    struct Forgetful(AtomicU64);

    const PODS: u64 = 2 * BATCH_EVENTS_MAX as u64 + 100;

    impl Backend for Forgetful {
        fn call(&self, _: Call) -> BoxFuture<'_, Result<Answer, Status>> {
            let is_first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
            let pod = |number| Object::new(POD.key("default", &format!("pod-{number}")), Revision(1), "{}".into());
            let there = (0..PODS).filter(|number| is_first || !matches!(number, 7 | 2_100));
            let items = there.map(pod).collect();
            let revision = Revision(if is_first { 1 } else { 2 });
            let list = List { items, revision, continue_token: String::new(), remaining: None };
            Box::pin(async { Ok(Answer { reply: Reply::List(list), warnings: Vec::new() }) })
        }

        fn watch(&self, _: Call) -> BoxFuture<'_, Result<Events, Status>> {
            Box::pin(async { Err(Status::new(Reason::Expired, "too old")) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_list_is_complete_at_its_end_and_what_it_lacks_is_gone() {
        let scope = Scope::root("test");
        let client = Client::new(Arc::new(Forgetful(AtomicU64::new(0))), User::named("u", &[]), "test");
        let cache = Cache::start(&scope, client, ManualClock::starting_at(0), vec![Follow::all(&POD)]);
        let count = |revision| {
            let known = cache.until(move |snap| {
                let is_known = snap.is_synced() && snap.has_reached(&POD.resource(), Revision(revision));
                is_known.then(|| snap.range("pods/").count() as u64)
            });
            tokio::time::timeout(Duration::from_secs(60), known)
        };
        assert_eq!(count(1).await, Ok(PODS));
        assert_eq!(count(2).await, Ok(PODS - 2));
        scope.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_right_after_an_event_is_begun_again() {
        let scope = Scope::root("test");
        let client = Client::new(Arc::new(Short(AtomicU64::new(0))), User::named("u", &[]), "test");
        let cache = Cache::start(&scope, client, ManualClock::starting_at(0), vec![Follow::all(&POD)]);
        let third = cache.until(|snap| snap.object(&POD.key("default", "pod-4")).map(|pod| pod.revision()));
        let third = tokio::time::timeout(Duration::from_secs(60), third).await;
        assert_eq!(third.expect("it goes on"), Revision(4));
    }
}
