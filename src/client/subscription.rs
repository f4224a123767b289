//! Changes for one listener, folded together by key.
//!
//! A listener that is slow gets fewer, bigger changes, never a growing backlog: there is at most
//! one entry for each object.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

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
pub struct Subscription(pub(super) Arc<Mailbox>);

pub(super) struct Mailbox {
    /// `None` for every resource.
    wanted: Option<Vec<GroupResource>>,
    waiting: Mutex<HashMap<Key, Change>>,
    bell: Notify,
}

impl Subscription {
    pub(super) fn new(wanted: Option<Vec<GroupResource>>) -> Self {
        Self(Arc::new(Mailbox { wanted, waiting: Mutex::default(), bell: Notify::new() }))
    }

    /// Waits for changes and takes all that are there. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Vec<(Key, Change)> {
        loop {
            let taken = self.take();
            if !taken.is_empty() {
                return taken;
            }
            self.0.bell.notified().await;
        }
    }

    /// The changes that are there now.
    pub fn take(&mut self) -> Vec<(Key, Change)> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into_iter().collect()
    }
}

impl Mailbox {
    pub(super) fn wants(&self, key: &Key) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|resource| resource.as_str() == key.resource()))
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
    use crate::object::{Object, Revision};

    #[test]
    fn changes_of_one_object_become_one() {
        let key = Key::of("pods", "default", "web");
        let object = |revision| Object::new(key.clone(), Revision(revision), "{}".into());
        let mut subscription = Subscription::new(None);
        let change = |before, after| (key.clone(), Change { before, after });
        subscription.0.deliver(&[change(None, Some(object(1)))]);
        subscription.0.deliver(&[change(Some(object(1)), Some(object(2)))]);
        let taken = subscription.take();
        assert_eq!(taken.len(), 1);
        assert!(taken[0].1.before.is_none());
        assert_eq!(taken[0].1.after.as_ref().unwrap().revision(), Revision(2));
        assert!(subscription.take().is_empty());
    }
}
