//! Those who watch through the API: one at each server, and one that wanders. Each goes on from where it
//! was, and must be told every change.

use std::time::Duration;

use futures_util::StreamExt;
use skiff::base::service::Scope;
use skiff::client::Backend;
use skiff::client::remote::Remote;
use skiff::object::{Event, ObjectRef, Reason, TreePath};

use super::history::{Heard, Kind, Record};
use super::workload::{NAMESPACE, Servers, is_ours, seen};
use crate::watch;

/// Without a word for so long, another connection is tried.
const SILENCE_MAX: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(100);
/// So often a server may refuse in a row before another is asked: it is away for so long that history ends.
const REFUSALS_MAX: usize = 30;

pub struct Watcher {
    pub number: usize,
    /// The place of its server in the list; the next one is asked each time if it wanders.
    pub place: usize,
    pub wanders: bool,
    pub servers: Servers,
    pub record: Record,
    pub from: u64,
}

impl Watcher {
    /// Goes on until it is stopped and has everything up to the newest revision that a client was told.
    pub async fn run(mut self, stop: Scope) {
        let first = self.from;
        let (mut refusals, mut away) = (0, 0);
        while !(stop.is_stopping() && self.from >= self.record.newest()) {
            let remote = {
                let servers = self.servers.read().expect("the servers");
                servers[self.place % servers.len()].clone()
            };
            match self.visit(&remote, self.from != first || refusals > 0, &stop).await {
                // A server that is new, or got another's state, knows less of the past than others.
                Err(Reason::Expired | Reason::Gone) => {
                    refusals += 1;
                    self.place += 1;
                    assert!(refusals < 60, "watcher {} at {}: nobody has its history", self.number, self.from);
                }
                Err(_) => away += 1,
                Ok(()) => (refusals, away) = (0, 0),
            }
            if self.wanders || away > REFUSALS_MAX {
                (self.place, away) = (self.place + 1, 0);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn visit(&mut self, remote: &Remote, resumes: bool, stop: &Scope) -> Result<(), Reason> {
        let call = watch::config_maps(NAMESPACE, self.from);
        let opened = tokio::time::timeout(SILENCE_MAX, remote.watch(call)).await;
        let mut events = opened.map_err(|_| Reason::Timeout)?.map_err(|status| status.reason)?;
        let session = self.record.session(self.number, self.place, self.from, resumes);
        while let Ok(Some(event)) = tokio::time::timeout(SILENCE_MAX, events.next()).await {
            // No two objects change at one revision here: an event says that all before it was told.
            let upto = match event.map_err(|status| status.reason)? {
                Event::Added(object) => self.hear(session, &object, Kind::Added),
                Event::Modified { object, .. } => self.hear(session, &object, Kind::Modified),
                Event::Deleted(object) => self.hear(session, &object, Kind::Deleted),
                Event::Bookmark { revision, .. } => revision.0,
            };
            self.record.bookmark(session, upto);
            self.from = self.record.session_end(session);
            if stop.is_stopping() && self.from >= self.record.newest() {
                break;
            }
        }
        Ok(())
    }

    fn hear(&self, session: usize, object: &ObjectRef, kind: Kind) -> u64 {
        let (tree, revision) = (object.tree(), object.revision().0);
        let name = tree.text("metadata.name");
        if is_ours(name) {
            let (uid, value) = (tree.text("metadata.uid").to_owned(), seen(&tree).value);
            self.record.event(session, Heard { key: name.into(), revision, value, uid, kind });
        }
        revision
    }
}
