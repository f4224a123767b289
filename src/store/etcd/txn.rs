//! A command as one transaction of etcd, and what its answer means.
//!
//! The transaction compares what each write expects, and that the server that proposes still leads: of
//! a server that was deposed nothing is written. When it fails it reads all that it compared, at the
//! same revision, so that the answer is exactly what [`mvcc::apply`] would have said.

use std::collections::BTreeMap;

use super::layout::{Layout, created, decode, delete, encode, get, modified, put, written};
use super::proto::{Compare, KeyValue, Relation, Response, TxnRequest, TxnResponse, revision};
use crate::object::{Key, Object, ObjectRef, Revision};
use crate::store::command::{Action, Command, Expect, Outcome, Write};
use crate::store::mvcc;
use crate::store::state::State;
use crate::store::wire::WireError;

/// What came of a transaction.
#[derive(Debug)]
pub(super) enum Answer {
    Outcome(Outcome),
    /// Another server leads, or none; nothing was written.
    Deposed,
    /// An answer that etcd would not give.
    Nonsense,
}

/// The transaction that does `command` if this server still leads in `term`.
pub(super) fn request(layout: &Layout, command: &Command, term: u64) -> TxnRequest {
    let writes = &command.writes;
    let mut request = TxnRequest::default();
    request.compare.push(created(layout.leader(), Relation::Equal, term));
    request.compare.extend(writes.iter().enumerate().flat_map(|(at, write)| compare(layout, write, &writes[..at])));
    request.success.push(put(layout.head(), Default::default(), 0));
    // etcd refuses a transaction that writes a key twice, though this one would write nothing.
    let distinct = writes.iter().enumerate().filter(|(at, write)| !is_repeated(write, &writes[..*at]));
    request.success.extend(distinct.map(|(_, write)| match &write.action {
        Action::Put(payload) => put(layout.object(&write.key), encode(payload), 0),
        Action::Delete => delete(layout.object(&write.key)),
    }));
    request.failure.push(get(layout.leader()));
    request.failure.extend(writes.iter().map(|write| get(layout.object(&write.key))));
    request
}

fn is_repeated(write: &Write, before: &[Write]) -> bool {
    before.iter().any(|earlier| earlier.key == write.key)
}

fn compare(layout: &Layout, write: &Write, before: &[Write]) -> Option<Compare> {
    let key = layout.object(&write.key);
    let is_there = |key| created(key, Relation::Greater, 0);
    // Nothing is created before the beginning: such a write fails whatever is there. A key that holds
    // nothing would pass for one that was written at revision 0.
    if is_repeated(write, before) || write.expect == Expect::Revision(Revision::ZERO) {
        return Some(created(key, Relation::Less, 0));
    }
    match (write.expect, &write.action) {
        (Expect::Any, Action::Put(_)) => None,
        (Expect::Any, Action::Delete) | (Expect::Present, _) => Some(is_there(key)),
        // Deleting what must not be there is possible for nobody.
        (Expect::Absent, Action::Delete) => Some(created(key, Relation::Less, 0)),
        (Expect::Absent, Action::Put(_)) => Some(created(key, Relation::Equal, 0)),
        (Expect::Revision(revision), _) => Some(written(key, revision)),
    }
}

/// What `response` says became of `command`. Objects are taken from `state` where it has them.
pub(super) fn answer(command: &Command, term: u64, response: TxnResponse, state: &State) -> Answer {
    let at = Revision(revision(response.header.as_ref()));
    let mut responses = response.responses.into_iter().map(|op| op.response);
    let first = responses.next();
    if response.succeeded {
        let objects = command.writes.iter().zip(responses).map(|(write, response)| done(write, response, at, state));
        return match objects.collect() {
            Some(objects) => Answer::Outcome(Outcome::Committed { revision: at, objects }),
            None => Answer::Nonsense,
        };
    }
    let leads = found(first.flatten()).is_some_and(|kv| u64::try_from(kv.create_revision) == Ok(term));
    if !leads {
        return Answer::Deposed;
    }
    let there = command.writes.iter().zip(responses);
    let there = there.filter_map(|(write, response)| Some((&write.key, found(response)?)));
    let objects = there.map(|(key, kv)| known(key, &kv, state).map(|object| (key, object)));
    let Ok(objects) = objects.collect::<Result<BTreeMap<&Key, ObjectRef>, WireError>>() else {
        return Answer::Nonsense;
    };
    match mvcc::first_failure(|key| objects.get(key), &command.writes) {
        Some((index, current)) => Answer::Outcome(Outcome::Failed { index, current }),
        None => Answer::Nonsense,
    }
}

fn done(write: &Write, response: Option<Response>, at: Revision, state: &State) -> Option<ObjectRef> {
    match (&write.action, response) {
        (Action::Put(payload), Some(Response::Put(_))) => {
            let there = state.get(&write.key).filter(|object| object.revision() == at).cloned();
            Some(there.unwrap_or_else(|| Object::spliced(write.key.clone(), at, &payload.bytes, payload.revision_at)))
        }
        (Action::Delete, Some(Response::Delete(deleted))) => {
            let kv = deleted.prev_kvs.into_iter().next()?;
            Some(decode(write.key.clone(), &kv).ok()?.at_revision(at))
        }
        _ => None,
    }
}

fn found(response: Option<Response>) -> Option<KeyValue> {
    match response {
        Some(Response::Range(range)) => range.kvs.into_iter().next(),
        _ => None,
    }
}

/// The object in memory if it is the same.
fn known(key: &Key, kv: &KeyValue, state: &State) -> Result<ObjectRef, WireError> {
    match state.get(key) {
        Some(object) if object.revision() == modified(kv) => Ok(object.clone()),
        _ => decode(key.clone(), kv),
    }
}
