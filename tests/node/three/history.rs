//! What clients and watchers were told by real servers, in the form in which the simulator's judges read it.
//!
//! HTTP tells less than the store: a deletion is answered without its revision, and an event without the
//! one before it. Both follow from the objects' uids and values, of which none is used twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skiff::sim::check;
use skiff::sim::check::history::{Answer, Call, Fault, Item, Name, Op, Seen, Session, Told};

/// Clones write into the same record.
#[derive(Clone, Default)]
pub struct Record {
    inner: Arc<Mutex<Inner>>,
    moment: Arc<AtomicU64>,
    /// No request that begins now may fail.
    strict: Arc<AtomicBool>,
    /// Requests on their way that must not fail.
    strict_open: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Inner {
    ops: Vec<Op>,
    /// Operations that deleted the object of this uid.
    deletions: Vec<(usize, String)>,
    sessions: Vec<Session>,
    /// Revision and key of the end of each object, by uid.
    ended: BTreeMap<String, (u64, Name)>,
    faults: Vec<String>,
    /// Requests that failed when none was to.
    failed: Vec<String>,
    newest: u64,
}

/// An event as HTTP tells it.
pub struct Heard {
    pub key: Name,
    pub revision: u64,
    pub value: u64,
    pub uid: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Added,
    Modified,
    Deleted,
}

pub struct Judged {
    pub ops: usize,
    pub lost: usize,
    pub events: usize,
    pub sessions: usize,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next place in the sequence of all that happens.
    pub fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn op(&self, client: usize, call: Call, invoked: u64, answer: Answer) {
        let answered = self.now();
        let mut inner = self.lock();
        if let Answer::Written { revision } | Answer::Listed { at: revision, .. } = answer {
            inner.newest = inner.newest.max(revision);
        }
        inner.ops.push(Op { client, call, invoked, answer, answered });
    }

    /// A deletion was acknowledged; when it was, watchers will tell.
    pub fn deleted(&self, client: usize, call: Call, invoked: u64, uid: String) {
        let answered = self.now();
        let mut inner = self.lock();
        let at = inner.ops.len();
        inner.ops.push(Op { client, call, invoked, answer: Answer::Lost, answered });
        inner.deletions.push((at, uid));
    }

    pub fn newest(&self) -> u64 {
        self.lock().newest
    }

    pub fn written(&self) -> usize {
        self.lock().ops.iter().filter(|op| matches!(op.answer, Answer::Written { .. })).count()
    }

    pub fn fault(&self, what: String) {
        self.lock().faults.push(what);
    }

    pub fn failed(&self, what: String) {
        self.lock().failed.push(what);
    }

    /// From now on no request may begin that fails; or again any.
    pub fn forbid_failures(&self, strict: bool) {
        self.strict.store(strict, Ordering::SeqCst);
    }

    /// One begins that must not fail; false if it may.
    pub fn strict_begins(&self) -> bool {
        let is_strict = self.strict.load(Ordering::SeqCst);
        self.strict_open.fetch_add(usize::from(is_strict), Ordering::SeqCst);
        is_strict
    }

    pub fn strict_ended(&self) {
        self.strict_open.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether one that must not fail is still on its way.
    pub fn awaits_strict(&self) -> bool {
        self.strict_open.load(Ordering::SeqCst) > 0
    }

    /// The requests that failed when none was to.
    pub fn failures(&self) -> Vec<String> {
        self.lock().failed.clone()
    }

    /// Begins a session of a watch; tells its number.
    pub fn session(&self, watcher: usize, server: usize, from: u64, resumes: bool) -> usize {
        let mut inner = self.lock();
        let prefix: Name = "".into();
        inner.sessions.push(Session { watcher, server, prefix, from, resumes, items: Vec::new() });
        inner.sessions.len() - 1
    }

    pub fn bookmark(&self, session: usize, at: u64) {
        let now = self.now();
        self.lock().sessions[session].items.push((now, Item::Bookmark(at)));
    }

    /// What the object held before is filled in at the end.
    pub fn event(&self, session: usize, heard: Heard) {
        let now = self.now();
        let mut inner = self.lock();
        let Heard { key, revision, value, uid, kind } = heard;
        let told = match kind {
            Kind::Added => Told { revision, key, value: Some(value), before: 0 },
            Kind::Modified => Told { revision, key, value: Some(value), before: UNTOLD },
            Kind::Deleted => {
                let known = inner.ended.insert(uid.clone(), (revision, key.clone()));
                if known.is_some_and(|known| known != (revision, key.clone())) {
                    inner.faults.push(format!("{key} of uid {uid} ended twice, at {revision} too"));
                }
                // What it held last is told instead; see [`before`].
                Told { revision, key, value: None, before: UNTOLD + value }
            }
        };
        inner.sessions[session].items.push((now, Item::Event(told)));
    }

    pub fn session_end(&self, session: usize) -> u64 {
        self.lock().sessions[session].end()
    }

    /// What the judges say of it all.
    pub fn judge(&self) -> Result<Judged, Fault> {
        let mut inner = std::mem::take(&mut *self.lock());
        if let Some(fault) = inner.faults.pop() {
            return Err(Fault(fault));
        }
        for (op, uid) in std::mem::take(&mut inner.deletions) {
            let Some((revision, _)) = inner.ended.get(&uid) else {
                return Err(Fault(format!("no watcher was told of the end of {uid}: {:?}", inner.ops[op])));
            };
            inner.ops[op].answer = Answer::Written { revision: *revision };
        }
        let lost = inner.ops.iter().filter(|op| matches!(op.answer, Answer::Lost)).count();
        let given = revisions(&inner);
        for session in &mut inner.sessions {
            before(session, &given)?;
        }
        check::judge(&inner.ops, &inner.sessions, |_| false, true)?;
        let events = inner.sessions.iter().map(|session| session.items.len()).sum();
        Ok(Judged { ops: inner.ops.len(), lost, events, sessions: inner.sessions.len() })
    }
}

/// Stands for the revision before, until it is known; plus the value that a deleted object held.
const UNTOLD: u64 = 1 << 48;

/// At which revision each value was written.
fn revisions(inner: &Inner) -> BTreeMap<u64, u64> {
    let items = inner.sessions.iter().flat_map(|session| &session.items);
    let told = items.filter_map(|(_, item)| match item {
        Item::Event(Told { value: Some(value), revision, .. }) => Some((*value, *revision)),
        Item::Event(_) | Item::Bookmark(_) => None,
    });
    let written = inner.ops.iter().filter_map(|op| match (&op.call, &op.answer) {
        (Call::Write(writes), Answer::Written { revision }) => Some((writes[0].value?, *revision)),
        _ => None,
    });
    let seen = inner.ops.iter().flat_map(|op| match &op.answer {
        Answer::Listed { objects, .. } => objects.values().copied().collect(),
        Answer::Read { object } => object.iter().copied().collect(),
        _ => Vec::<Seen>::new(),
    });
    told.chain(written).chain(seen.map(|seen| (seen.value, seen.revision))).collect()
}

/// Fills in which revision each event's object had before.
fn before(session: &mut Session, given: &BTreeMap<u64, u64>) -> Result<(), Fault> {
    let mut held: BTreeMap<Name, u64> = BTreeMap::new();
    for (_, item) in &mut session.items {
        let Item::Event(told) = item else { continue };
        if let Some(value) = told.before.checked_sub(UNTOLD) {
            told.before = match told.value {
                None => match given.get(&value) {
                    Some(revision) => *revision,
                    None => return Err(Fault(format!("{} ended with {value}, which nobody wrote", told.key))),
                },
                Some(_) => match held.get(&told.key) {
                    Some(0) => return Err(Fault(format!("{told:?} changed after it had ended"))),
                    known => known.copied().unwrap_or(0),
                },
            };
        }
        held.insert(told.key.clone(), if told.value.is_some() { told.revision } else { 0 });
    }
    Ok(())
}
