//! Changes for one listener, folded together by key.
//!
//! A listener that is slow gets fewer, bigger changes, never a growing backlog: there is at most
//! one entry for each object.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::snapshot::State;
use crate::object::{GroupResource, Key, ObjectRef};

/// What became of one object since the listener last looked.
#[derive(Clone, Debug)]
pub struct Change {
    pub before: Option<ObjectRef>,
    pub after: Option<ObjectRef>,
}

impl Change {
    /// The newest known state: the present one, or the last before it went.
    pub fn latest(&self) -> Option<&ObjectRef> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// Both states, where they exist.
    pub fn states(&self) -> impl Iterator<Item = &ObjectRef> {
        self.before.iter().chain(&self.after)
    }
}

/// The receiving end; dropping it ends the subscription.
pub struct Subscription {
    pub(super) mailbox: Arc<Mailbox>,
    /// What there was before the first change, until it is taken.
    existing: Option<State>,
}

pub(super) struct Mailbox {
    /// `None` for every resource.
    wanted: Option<Vec<GroupResource>>,
    waiting: Mutex<HashMap<Key, Change>>,
    bell: Notify,
}

impl Subscription {
    /// To what becomes of `existing` objects and of others, of the `wanted` resources or of all.
    pub(super) fn new(wanted: Option<Vec<GroupResource>>, existing: State) -> Self {
        let mailbox = Arc::new(Mailbox { wanted, waiting: Mutex::default(), bell: Notify::new() });
        Self { mailbox, existing: Some(existing) }
    }

    /// Waits for changes and takes all that are there: at first all objects that exist, as if they had just
    /// come. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Vec<(Key, Change)> {
        loop {
            let taken = self.take();
            if !taken.is_empty() {
                return taken;
            }
            self.mailbox.bell.notified().await;
        }
    }

    /// The changes that are there now.
    pub fn take(&mut self) -> Vec<(Key, Change)> {
        let existing = self.existing.take().map(|state| self.mailbox.pick(&state)).unwrap_or_default();
        if !existing.is_empty() {
            return existing;
        }
        let mut waiting = self.mailbox.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into_iter().collect()
    }
}

impl Mailbox {
    fn wants(&self, key: &Key) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|resource| resource.as_str() == key.resource()))
    }

    fn pick(&self, state: &State) -> Vec<(Key, Change)> {
        let prefixes = match &self.wanted {
            Some(wanted) => wanted.iter().map(GroupResource::prefix).collect(),
            None => vec![String::new()],
        };
        let objects = prefixes.iter().flat_map(|prefix| state.range(prefix));
        objects.map(|object| (object.key().clone(), Change { before: None, after: Some(object.clone()) })).collect()
    }

    pub(super) fn deliver<'a>(&self, changes: impl IntoIterator<Item = &'a (Key, Change)>) {
        let mut rang = false;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, change) in changes {
            if !self.wants(key) {
                continue;
            }
            rang = true;
            match waiting.get_mut(key) {
                Some(earlier) => earlier.after = change.after.clone(),
                None => drop(waiting.insert(key.clone(), change.clone())),
            }
        }
        drop(waiting);
        if rang {
            self.bell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Object, Revision, Timestamp};

    #[test]
    fn changes_of_one_object_become_one() {
        let key = Key::of("pods", "default", "web");
        let object = |revision| Object::new(key.clone(), Revision(revision), "{}".into());
        let mut subscription = Subscription::new(None, State::default());
        let change = |before, after| (key.clone(), Change { before, after });
        subscription.mailbox.deliver(&[change(None, Some(object(1)))]);
        subscription.mailbox.deliver(&[change(Some(object(1)), Some(object(2)))]);
        let taken = subscription.take();
        assert_eq!(taken.len(), 1);
        assert!(taken[0].1.before.is_none());
        assert_eq!(taken[0].1.after.as_ref().unwrap().revision(), Revision(2));
        assert!(subscription.take().is_empty());
    }

    #[test]
    fn what_was_there_comes_before_what_became_of_it() {
        let object = |key: &str, revision| Object::new(Key::parse(key).unwrap(), Revision(revision), "{}".into());
        let mut state = State::default();
        for (key, revision) in [("pods/default/web", 1), ("podtemplates/default/web", 2), ("nodes//n1", 3)] {
            state.put(object(key, revision), Timestamp::UNIX_EPOCH).unwrap();
        }
        let mut subscription = Subscription::new(Some(vec![GroupResource::new("", "pods")]), state);
        let (old, new) = (object("pods/default/web", 1), object("pods/default/web", 4));
        let change = Change { before: Some(old), after: Some(new.clone()) };
        subscription.mailbox.deliver(&[(new.key().clone(), change)]);
        let revisions = |changes: Vec<(Key, Change)>| {
            changes.iter().map(|(_, change)| change.latest().unwrap().revision().0).collect::<Vec<_>>()
        };
        assert_eq!(revisions(subscription.take()), [1]);
        assert_eq!(revisions(subscription.take()), [4]);
    }
}
