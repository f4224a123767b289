//! What a follower has learnt, and what that changes in a state.

use std::collections::HashSet;

use super::snapshot::State;
use super::subscription::Change;
use crate::object::{Event, Key, Kind, ObjectRef, Revision, Timestamp};

pub(super) enum News {
    /// Some of what there is; more may be.
    Found(Vec<ObjectRef>),
    /// This is the rest: all there is at `revision` are these and what was found under those keys.
    Listed {
        found: HashSet<Key>,
        rest: Vec<ObjectRef>,
        revision: Revision,
    },
    Changed(Vec<Event>),
}

impl News {
    /// Takes the news in; gives back what they changed.
    pub fn apply(self, state: &mut State, kind: &Kind, now: Timestamp) -> Vec<(Key, Change)> {
        match self {
            Self::Found(items) => items.into_iter().filter_map(|item| put(state, item, now)).collect(),
            Self::Listed { mut found, rest, revision } => {
                found.extend(rest.iter().map(|item| item.key().clone()));
                let mut changes = take_missing(state, kind, &found, revision);
                changes.extend(rest.into_iter().filter_map(|item| put(state, item, now)));
                state.reach(kind, revision, true);
                changes
            }
            Self::Changed(events) => absorb(state, kind, events, now),
        }
    }
}

pub(super) fn gone_change(before: ObjectRef) -> (Key, Change) {
    (before.key().clone(), Change { before: Some(before), after: None })
}

/// Removes what is not listed, unless it came after the list.
fn take_missing(state: &mut State, kind: &Kind, listed: &HashSet<Key>, revision: Revision) -> Vec<(Key, Change)> {
    let prefix = kind.resource().prefix();
    let known = state.range(&prefix).filter(|known| known.revision() <= revision);
    let missing: Vec<Key> = known.map(|known| known.key()).filter(|key| !listed.contains(*key)).cloned().collect();
    missing.iter().filter_map(|key| state.remove(key)).map(gone_change).collect()
}

fn absorb(state: &mut State, kind: &Kind, events: Vec<Event>, now: Timestamp) -> Vec<(Key, Change)> {
    let mut changes = Vec::with_capacity(events.len());
    for event in events {
        let revision = match event {
            Event::Added(object) | Event::Modified { object, .. } => {
                let revision = object.revision();
                changes.extend(put(state, object, now));
                revision
            }
            Event::Deleted(object) => {
                let is_newer = state.get(object.key()).is_some_and(|known| known.revision() > object.revision());
                if !is_newer {
                    changes.extend(state.remove(object.key()).map(gone_change));
                }
                object.revision()
            }
            Event::Bookmark { revision, .. } => revision,
        };
        state.reach(kind, revision, false);
    }
    changes
}

fn put(state: &mut State, object: ObjectRef, now: Timestamp) -> Option<(Key, Change)> {
    let key = object.key().clone();
    let before = state.put(object.clone(), now).ok()?;
    Some((key, Change { before, after: Some(object) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use crate::object::kind::POD;

    fn pod(name: &str, revision: u64) -> ObjectRef {
        Object::new(POD.key("default", name), Revision(revision), "{}".into())
    }

    /// Whose change is told, and whether it is still there.
    fn told(state: &mut State, news: News) -> Vec<(String, bool)> {
        let changes = news.apply(state, &POD, Timestamp::UNIX_EPOCH);
        changes.iter().map(|(key, change)| (key.name().to_owned(), change.after.is_some())).collect()
    }

    fn listed(rest: Vec<ObjectRef>, revision: u64) -> News {
        News::Listed { found: HashSet::new(), rest, revision: Revision(revision) }
    }

    fn changed(event: Event) -> News {
        News::Changed(vec![event])
    }

    #[test]
    fn a_list_replaces_what_was_known_and_stale_events_are_dropped() {
        let mut state = State::default();
        told(&mut state, listed(vec![pod("a", 3), pod("b", 5)], 6));
        assert!(told(&mut state, changed(Event::Added(pod("b", 5)))).is_empty(), "seen before");
        let changes = told(&mut state, listed(vec![pod("b", 8), pod("c", 9)], 9));
        assert_eq!(changes, [("a".into(), false), ("b".into(), true), ("c".into(), true)]);
        assert!(told(&mut state, changed(Event::Deleted(pod("c", 7)))).is_empty(), "made again since");
        assert_eq!(told(&mut state, changed(Event::Deleted(pod("c", 12)))), [("c".into(), false)]);
        assert_eq!(state.revision(&POD.resource()), Some(Revision(12)));
    }

    #[test]
    fn what_a_list_found_before_its_end_stays_and_is_told_once() {
        let mut state = State::default();
        told(&mut state, listed(vec![pod("a", 3), pod("b", 5)], 6));
        assert_eq!(told(&mut state, News::Found(vec![pod("b", 5), pod("c", 7)])), [("c".into(), true)]);
        assert_eq!(state.revision(&POD.resource()), Some(Revision(6)), "which is not all yet");
        let found = ["b", "c"].map(|name| POD.key("default", name)).into();
        let end = News::Listed { found, rest: vec![pod("d", 8)], revision: Revision(8) };
        assert_eq!(told(&mut state, end), [("a".into(), false), ("d".into(), true)]);
    }
}
