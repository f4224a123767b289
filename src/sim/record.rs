//! Where everything that is seen from outside is written down while a simulation runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::check::history::{Answer, Call, Fault, Item, Name, Op, Seen, Session, Told};
use super::check::replicas::Replicas;
use super::trace::Trace;
use crate::object::{Key, Object};
use crate::store::{Event, EventKind, KeyRange, Payload, State};

/// Clones write into the same record.
#[derive(Clone)]
pub struct Record {
    inner: Arc<Mutex<Inner>>,
    moment: Arc<AtomicU64>,
    pub trace: Trace,
}

#[derive(Default)]
struct Inner {
    ops: Vec<Op>,
    sessions: Vec<Session>,
    replicas: Replicas,
    faults: Vec<Fault>,
    newest: u64,
}

/// What was written down.
pub struct Written {
    pub ops: Vec<Op>,
    pub sessions: Vec<Session>,
    pub compared: usize,
    pub faults: Vec<Fault>,
}

impl Record {
    pub fn new(trace: Trace) -> Self {
        Self { inner: Arc::default(), moment: Arc::default(), trace }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next place in the sequence of all that happens.
    pub fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::Relaxed)
    }

    pub fn op(&self, client: usize, call: Call, invoked: u64, answer: Answer) {
        let answered = self.now();
        self.trace.note(|| format!("client {client} {call:?} -> {answer:?}"));
        let mut inner = self.lock();
        if let Answer::Written { revision } | Answer::Got { at: revision, .. } = answer {
            inner.newest = inner.newest.max(revision);
        }
        inner.ops.push(Op { client, call, invoked, answer, answered });
    }

    /// The newest revision that any client was shown.
    pub fn newest(&self) -> u64 {
        self.lock().newest
    }

    pub fn fault(&self, what: impl Into<String>) {
        let what = what.into();
        self.trace.note(|| format!("FAULT {what}"));
        self.lock().faults.push(Fault(what));
    }

    pub fn is_faulty(&self) -> bool {
        !self.lock().faults.is_empty()
    }

    /// Begins a session of a watch; tells its number.
    pub fn session(&self, watcher: usize, server: usize, prefix: &str, from: u64, resumes: bool) -> usize {
        let mut inner = self.lock();
        let prefix: Name = prefix.into();
        inner.sessions.push(Session { watcher, server, prefix, from, resumes, items: Vec::new() });
        inner.sessions.len() - 1
    }

    pub fn item(&self, session: usize, item: Item) {
        let now = self.now();
        let of = match &item {
            Item::Event(told) => told.revision,
            Item::Bookmark(at) => *at,
        };
        self.trace.numbers([4, session as u64, of]);
        self.lock().sessions[session].items.push((now, item));
    }

    /// Up to where the session has everything.
    pub fn session_end(&self, session: usize) -> u64 {
        self.lock().sessions[session].end()
    }

    /// Up to where the watcher's last session has everything.
    pub fn last_bookmark(&self, watcher: usize) -> Option<u64> {
        let inner = self.lock();
        inner.sessions.iter().rev().find(|session| session.watcher == watcher).map(Session::end)
    }

    /// Compares what a server holds with what others held at the same entry; if it `renews`, of what the log
    /// says, which is all but leases and the revision of the newest.
    pub fn state(&self, server: usize, state: &State, renews: bool) {
        let all = KeyRange::all();
        let logged = |key: &str| !renews || !key.starts_with(super::client::VOLATILE);
        let objects = state.range(&all).filter(|object| logged(object.key().as_str()));
        let parts = objects.flat_map(|object| [object.key().as_str().as_bytes(), &object.bytes()[..]]);
        let sum = super::check::replicas::sum(parts);
        let (position, revision) = (state.position(), if renews { 0 } else { state.revision().0 });
        self.trace.numbers([5, server as u64, position.index, sum]);
        let compared = self.lock().replicas.seen(server, position.index, revision, sum);
        if let Err(fault) = compared {
            self.fault(fault.0);
        }
    }

    pub fn take(&self) -> Written {
        let mut inner = self.lock();
        Written {
            ops: std::mem::take(&mut inner.ops),
            sessions: std::mem::take(&mut inner.sessions),
            compared: inner.replicas.compared(),
            faults: std::mem::take(&mut inner.faults),
        }
    }

    /// An object as a client reads it, from its bytes alone.
    pub fn seen(&self, object: &Object) -> Seen {
        let text = String::from_utf8_lossy(object.bytes());
        let number = |name: &str| -> Option<u64> {
            let rest = text.split_once(&format!("\"{name}\":\""))?.1;
            rest.split('"').next()?.parse().ok()
        };
        match (number("v"), number("resourceVersion")) {
            (Some(value), Some(revision)) if revision == object.revision().0 => Seen { value, revision },
            _ => {
                self.fault(format!("{:?} does not say what it should: {text}", object.key()));
                Seen { value: 0, revision: object.revision().0 }
            }
        }
    }

    pub fn told(&self, event: &Event) -> Told {
        let (value, before) = match event.kind() {
            EventKind::Put { object, previous } => {
                (Some(self.seen(object).value), previous.map_or(0, |previous| previous.revision().0))
            }
            EventKind::Delete { previous, .. } => (None, previous.revision().0),
        };
        Told { revision: event.revision().0, key: event.key().as_str().into(), value, before }
    }
}

/// An object that says `value`, with so many bytes more.
pub fn payload(value: u64, more: usize) -> Payload {
    let text =
        format!("{{\"metadata\":{{\"resourceVersion\":\"\"}},\"v\":\"{value}\",\"more\":\"{}\"}}", "x".repeat(more));
    Payload::find(text).expect("it has a place for the revision")
}

pub fn key(name: &str) -> Key {
    Key::parse(name).expect("names have three parts")
}
