//! Those who watch: one at every server from its start to its end, and some that wander.

use std::time::Duration;

use tokio::sync::oneshot;

use super::check::history::Item;
use super::dice::Dice;
use super::net::{Home, SimNet};
use super::record::Record;
use crate::base::service::Scope;
use crate::object::{GroupResource, Revision};
use crate::store::{KeyRange, Store, Watch, WatchError};

/// Watches everything at one server, outside its process: what was told before a crash was told.
pub struct Tap(Scope);

impl Tap {
    pub fn new(place: usize, store: &Store, record: &Record) -> Self {
        let scope = Scope::root("tap");
        let first = match store.watch(KeyRange::all(), Revision::ZERO) {
            Err(WatchError::Compacted { oldest }) => store.watch(KeyRange::all(), oldest).map(|watch| (watch, oldest)),
            watch => watch.map(|watch| (watch, Revision::ZERO)),
        };
        let Ok((watch, from)) = first else { return Self(scope) };
        let session = record.session(1_000 + place, place, "", from.0, false);
        let (record, store, outer) = (record.clone(), store.clone(), scope.clone());
        scope.spawn("tap", async move {
            tokio::select! {
                biased;
                () = tap(watch, session, store, place, record) => (),
                () = outer.stopping() => (),
            }
        });
        Self(scope)
    }

    pub fn end(&self) {
        self.0.cancel();
    }
}

async fn tap(mut watch: Watch, mut session: usize, store: Store, place: usize, record: Record) {
    loop {
        match watch.next().await {
            Ok(event) => record.item(session, Item::Event(record.told(&event))),
            Err(_) => {
                // It was given another's state, or is closed.
                let from = store.state().revision();
                let Ok(again) = store.watch(KeyRange::all(), from) else { return };
                watch = again;
                session = record.session(1_000 + place, place, "", from.0, false);
            }
        }
        if let Some(at) = watch.progress() {
            record.item(session, Item::Bookmark(at.0));
        }
    }
}

/// Watches some keys, now here and now there, from where it was.
pub async fn wander(watcher: usize, net: SimNet, ids: impl Fn() -> Vec<u64>, dice: Dice, record: Record) {
    let (prefix, range) = match dice.below(4) {
        0 => ("", KeyRange::all()),
        1 => ("pods/", KeyRange::resource(&GroupResource::new("", "pods"))),
        2 => ("pods/a/", KeyRange::namespace(&GroupResource::new("", "pods"), "a")),
        _ => ("pods/b/k1", KeyRange::key(&super::record::key("pods/b/k1"))),
    };
    let mut from: Option<u64> = None;
    loop {
        tokio::time::sleep(Duration::from_millis(dice.within(10..2_000))).await;
        let Some(home) = dice.pick(&ids()).and_then(|id| net.home(*id)) else { continue };
        let stay = Duration::from_millis(dice.within(100..30_000));
        let (mut tell, told) = oneshot::channel();
        let visit = Visit { watcher, prefix, range: range.clone(), from, dice: dice.fork(), record: record.clone() };
        let Home { store, scope, place } = home;
        scope.spawn("watch", async move {
            let next = visit.run(place, store, stay, &mut tell).await;
            let _ = tell.send(next); // the watcher may have given up
        });
        let limit = stay + Duration::from_secs(10);
        match tokio::time::timeout(limit, told).await {
            Ok(Ok(next)) => from = next,
            // The server is gone: it goes on from what it has heard.
            _ => from = from.max(record.last_bookmark(watcher)),
        }
    }
}

/// Where the watcher waits to hear from where to go on.
type Tell = oneshot::Sender<Option<u64>>;

/// A watch at one server.
struct Visit {
    watcher: usize,
    prefix: &'static str,
    range: KeyRange,
    from: Option<u64>,
    dice: Dice,
    record: Record,
}

impl Visit {
    /// From where to go on; `None` to begin anew.
    async fn run(self, place: usize, store: Store, stay: Duration, tell: &mut Tell) -> Option<u64> {
        if tell.is_closed() {
            return None; // the server was held still, and the watcher has gone elsewhere
        }
        let from = self.from.unwrap_or_else(|| store.state().revision().0);
        let mut watch = match store.watch(self.range, Revision(from)) {
            Ok(watch) => watch,
            Err(WatchError::Compacted { .. }) => return None,
            Err(WatchError::Future { .. } | WatchError::Closed) => return self.from,
        };
        let session = self.record.session(self.watcher, place, self.prefix, from, self.from.is_some());
        let end = tokio::time::Instant::now() + stay;
        while tokio::time::Instant::now() < end {
            let patience = Duration::from_millis(self.dice.within(1..3_000));
            let next = tokio::time::timeout(patience, watch.next()).await;
            let ended = match next {
                Ok(Ok(event)) if !tell.is_closed() => {
                    self.record.item(session, Item::Event(self.record.told(&event)));
                    false
                }
                Ok(Err(_)) => true,
                Ok(Ok(_)) | Err(_) => false,
            };
            if ended {
                break;
            }
            if tell.is_closed() {
                return None; // what comes now reaches nobody
            }
            if self.dice.percent(40)
                && let Some(at) = watch.progress()
            {
                self.record.item(session, Item::Bookmark(at.0));
            }
            if self.dice.percent(2) {
                tokio::time::sleep(Duration::from_millis(self.dice.within(1..5_000))).await; // a slow reader
            }
        }
        Some(self.record.session_end(session))
    }
}
