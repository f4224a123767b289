//! WATCH: the changes of a collection, as a stream of events.
//!
//! A watch without a version begins with what is there, told as additions. An object that leaves
//! the selection is told as deleted, one that enters it as added.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, Sleep};

use super::Api;
use super::act::Act;
use super::read::parse_revision;
use super::select::Selection;
use crate::api::audit;
use crate::api::crd::CustomView;
use crate::object::{Call, Event, Revision, Status};
use crate::store::{EventKind, EventRef, Watch, WatchEnd, WatchError};

/// The changes of a watched collection. An `Err` is the last item; a plain end means watch again
/// from the last seen revision.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// What a watch begins with.
struct Start {
    from: Revision,
    /// Tell what is there as additions first.
    initial: bool,
    /// Say when that is done.
    announce: bool,
}

struct Watching {
    watch: Watch,
    selection: Selection,
    ready: VecDeque<Event>,
    /// When the next bookmark is due, for who wants them.
    bookmark: Option<Instant>,
    deadline: Instant,
    /// For the earlier of the two. Kept, since setting up a timer for each event costs more than the event.
    timer: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Api {
    /// Follows a collection, or one object. The caller's right to do so is checked here.
    pub fn watch(self: &Arc<Self>, call: Call) -> Result<Events, Status> {
        let record = self.record(&call);
        let watched = audit::sync_within(record.clone(), || {
            self.authorize(&call)?;
            self.watch_authorized(call)
        });
        let Some(record) = record else { return watched };
        match watched {
            Ok(events) => {
                record.answered(200);
                Ok(Box::pin(events.inspect(move |_| {
                    let _held = &record;
                })))
            }
            Err(status) => {
                record.failed(&status);
                record.answered(status.code());
                Err(status)
            }
        }
    }

    pub(crate) fn watch_authorized(self: &Arc<Self>, call: Call) -> Result<Events, Status> {
        let act = Act::find(&self.registry, call)?;
        let selection = Selection::of(&act)?;
        let state = self.state();
        let start = start_of(&act, state.revision())?;
        let range = selection.range(&act);
        let watch = match self.store.watch(range.clone(), start.from) {
            Ok(watch) => watch,
            Err(WatchError::Compacted { oldest }) => {
                let message = format!("too old resource version: {} ({oldest})", start.from);
                return Ok(Box::pin(stream::iter([Err(Status::expired(message))])));
            }
            Err(WatchError::Future { .. }) => self.store.watch(range.clone(), state.revision()).map_err(closed)?,
            Err(error @ WatchError::Closed) => return Err(closed(error)),
        };
        let mut ready = VecDeque::new();
        if start.initial {
            let objects = state.range(&range).filter(|object| selection.matches(object));
            ready.extend(objects.cloned().map(Event::Added));
            if start.announce {
                ready.push_back(Event::Bookmark { revision: state.revision(), initial_done: true });
            }
        }
        let options = &act.call.options;
        let secs = match options.timeout_seconds {
            Some(secs) if secs > 0 => secs as u64,
            // Plus up to as long again, so that they do not all come back at once.
            _ => {
                let least = self.settings.limits.watch_min.as_secs().max(1);
                least + self.rand.next_u64() % least
            }
        };
        let now = Instant::now();
        let deadline = now + Duration::from_secs(secs);
        let bookmark = options.allow_watch_bookmarks.then_some(now + BOOKMARK_EVERY);
        let timer = Box::pin(tokio::time::sleep_until(bookmark.unwrap_or(deadline).min(deadline)));
        let events = Watching { watch, selection, ready, bookmark, deadline, timer, is_over: false };
        if !act.resource.is_custom {
            return Ok(Box::pin(events));
        }
        let (api, view) = (self.clone(), CustomView::of(&act));
        Ok(Box::pin(events.filter_map(move |event| {
            let (api, view) = (api.clone(), view.clone());
            async move {
                match event {
                    Ok(event) => view.event(&api, event).await.transpose(),
                    Err(status) => Some(Err(status)),
                }
            }
        })))
    }
}

/// Reads `resourceVersion` and `sendInitialEvents`.
fn start_of(act: &Act, now: Revision) -> Result<Start, Status> {
    let options = &act.call.options;
    let wanted = parse_revision(&options.resource_version)
        .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
    let exact = wanted.filter(|revision| *revision != Revision::ZERO);
    Ok(match (options.send_initial_events, exact) {
        (Some(true), _) => Start { from: now, initial: true, announce: options.allow_watch_bookmarks },
        (Some(false), None) => Start { from: now, initial: false, announce: false },
        (None, None) => Start { from: now, initial: true, announce: false },
        (_, Some(from)) => Start { from, initial: false, announce: false },
    })
}

fn closed(error: WatchError) -> Status {
    Status::new(crate::object::Reason::ServiceUnavailable, error.to_string())
}

impl Stream for Watching {
    type Item = Result<Event, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = self.poll_event(context);
        self.is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }
}

impl Watching {
    /// The next event; none when time is up.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Status>>> {
        if let Some(event) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        while let Poll::Ready(event) = self.watch.poll_next(context) {
            match event {
                Ok(event) => {
                    if let Some(event) = selected(&self.selection, &event) {
                        return Poll::Ready(Some(Ok(event)));
                    }
                }
                Err(WatchEnd::TooSlow) => {
                    let message = "too old resource version: the watch fell behind";
                    return Poll::Ready(Some(Err(Status::expired(message))));
                }
                Err(WatchEnd::Closed) => return Poll::Ready(None),
            }
        }
        while self.timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if now >= self.deadline {
                return Poll::Ready(None);
            }
            let next = now + BOOKMARK_EVERY;
            self.timer.as_mut().reset(next.min(self.deadline));
            if self.bookmark.as_mut().is_some_and(|due| std::mem::replace(due, next) <= now)
                && let Some(revision) = self.watch.progress()
            {
                return Poll::Ready(Some(Ok(Event::Bookmark { revision, initial_done: false })));
            }
        }
        Poll::Pending
    }
}

/// What a change is to somebody who sees only the selection.
fn selected(selection: &Selection, event: &EventRef) -> Option<Event> {
    match event.kind() {
        EventKind::Put { object, previous } => {
            let previous = previous.filter(|previous| selection.matches(previous));
            match (selection.matches(object), previous) {
                (true, None) => Some(Event::Added(object.clone())),
                (true, Some(previous)) => Some(Event::Modified { object: object.clone(), previous: previous.clone() }),
                (false, Some(previous)) => Some(Event::Deleted(previous.at_revision(object.revision()))),
                (false, None) => None,
            }
        }
        EventKind::Delete { object, previous } => selection.matches(previous).then(|| Event::Deleted(object.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::{World, world};
    use crate::object::tree::{Tree, json};
    use crate::object::{Options, Target, User, Verb};

    fn watch(world: &World, options: Options) -> Events {
        let target = Target {
            version: "v1".into(),
            resource: "configmaps".into(),
            namespace: "default".into(),
            ..Target::default()
        };
        let user = User::named("admin", &["system:masters"]);
        let (body, user_agent) = (Default::default(), "test".into());
        world.api.watch(Call { user, verb: Verb::Watch, target, options, body, user_agent }).unwrap()
    }

    /// What comes, and after how many seconds.
    async fn told(mut events: Events) -> Vec<(String, u64)> {
        let (since, mut told) = (Instant::now(), Vec::new());
        while let Some(event) = events.next().await {
            let kind = match event.unwrap() {
                Event::Bookmark { revision, initial_done } => format!("bookmark {revision} {initial_done}"),
                Event::Added(object) => format!("added {}", object.key().name()),
                other => format!("{other:?}"),
            };
            told.push((kind, since.elapsed().as_secs()));
        }
        told.push(("end".into(), since.elapsed().as_secs()));
        told
    }

    #[tokio::test]
    async fn bookmarks_come_each_minute_for_who_wants_them_until_time_is_up() {
        let world = world().await;
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        assert_eq!(world.send("POST /api/v1/namespaces/default/configmaps", object).await.0, 201);
        let (_, found) = world.send("GET /api/v1/namespaces/default/configmaps?limit=1", Tree::Null).await;
        let revision = found["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        let wanted = Options { timeout_seconds: Some(150), allow_watch_bookmarks: true, ..Options::default() };
        let unwanted = Options { timeout_seconds: Some(150), ..Options::default() };
        let both = (watch(&world, wanted), watch(&world, unwanted));
        tokio::time::pause();
        let (with, without) = tokio::join!(told(both.0), told(both.1));
        let bookmark = format!("bookmark {revision} false");
        let expected = [("added a", 0), (&*bookmark, 60), (&*bookmark, 120), ("end", 150)];
        assert_eq!(with, expected.map(|(kind, secs)| (kind.to_owned(), secs)));
        assert_eq!(without, [("added a".to_owned(), 0), ("end".into(), 150)]);
    }
}
