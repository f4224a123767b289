//! Applying commands to the state: pure, so that every server and every replay agrees.
//!
//! No clock, no randomness, no order of a hash map. A command either writes all at the next revision
//! or changes nothing at all, not even the revision.

use super::command::{Action, Command, Expect, Outcome, Payload, Write};
use super::event::{Event, EventRef};
use super::state::{Position, State};
use crate::object::{Key, Object, ObjectRef, Revision};

/// What applying one command did.
#[derive(Debug)]
pub struct Effects {
    pub outcome: Outcome,
    /// In the order of the writes; empty unless committed.
    pub events: Vec<EventRef>,
}

/// Applies `command`, which stands in the log at `position`.
pub fn apply(state: &mut State, position: Position, command: Command) -> Effects {
    debug_assert!(position >= state.position, "the log is applied in order");
    state.position = position;
    if command.term.is_some_and(|term| term != position.term) {
        return refused(Outcome::Deposed { term: position.term });
    }
    if let Some((index, current)) = first_failure(|key| state.get(key), &command.writes) {
        return refused(Outcome::Failed { index, current });
    }
    state.revision = state.revision.next();
    let revision = state.revision;
    let (objects, events) = command.writes.into_iter().map(|write| perform(state, revision, write)).unzip();
    Effects { outcome: Outcome::Committed { revision, objects }, events }
}

/// Lets the next write be numbered after `floor`: revisions up to there were given to writes that are
/// not in the log.
pub fn raise(state: &mut State, floor: Revision) {
    state.revision = state.revision.max(floor);
}

/// Takes over a write that its leader made without the log; nothing where it is known already.
pub fn restore(state: &mut State, key: Key, revision: Revision, payload: &Payload) -> Option<EventRef> {
    if state.get(&key)?.revision() >= revision {
        return None;
    }
    let object = Object::spliced(key, revision, &payload.bytes, payload.revision_at);
    let previous = state.put(object.clone());
    raise(state, revision);
    Some(Event::put(object, previous))
}

fn refused(outcome: Outcome) -> Effects {
    Effects { outcome, events: Vec::new() }
}

/// The first of `writes` that cannot be done to what `find` finds, and what that is.
///
/// A key named twice fails: a command has one effect on each key.
pub(super) fn first_failure<'a>(
    find: impl Fn(&Key) -> Option<&'a ObjectRef>,
    writes: &[Write],
) -> Option<(usize, Option<ObjectRef>)> {
    writes.iter().enumerate().find_map(|(index, write)| {
        let current = find(&write.key);
        let met = match write.expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::Present => current.is_some(),
            Expect::Revision(revision) => current.is_some_and(|object| object.revision() == revision),
        };
        let possible = current.is_some() || matches!(write.action, Action::Put(_));
        let repeated = writes[..index].iter().any(|earlier| earlier.key == write.key);
        (!met || !possible || repeated).then(|| (index, current.cloned()))
    })
}

fn perform(state: &mut State, revision: Revision, write: Write) -> (ObjectRef, EventRef) {
    let event = match write.action {
        Action::Put(payload) => {
            let object = Object::spliced(write.key, revision, &payload.bytes, payload.revision_at);
            let previous = state.put(object.clone());
            Event::put(object, previous)
        }
        Action::Delete => {
            let previous = state.remove(&write.key).expect("a deletion of nothing was refused before");
            Event::delete(revision, previous)
        }
    };
    (event.object().clone(), event)
}
