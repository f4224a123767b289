//! Who leads: what etcd's leader key says, and whether our lease on it holds.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::proto::KeyValue;
use crate::store::Role;

/// The leader key, as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaderKey {
    pub id: u64,
    /// Tells processes of one name apart.
    pub instance: String,
    pub lease: i64,
    /// The revision that created the key.
    pub term: u64,
}

impl LeaderKey {
    /// What a leader key says; nothing if it is not one of ours.
    pub fn read(kv: &KeyValue) -> Option<Self> {
        let (id, instance) = std::str::from_utf8(&kv.value).ok()?.split_once(' ')?;
        Some(Self {
            id: u64::from_str_radix(id, 16).ok()?,
            instance: instance.to_owned(),
            lease: kv.lease,
            term: u64::try_from(kv.create_revision).ok()?,
        })
    }

    pub fn value(id: u64, instance: &str) -> String {
        format!("{id:016x} {instance}")
    }
}

/// What decides about the role. Whatever changes is followed by the role at once.
#[derive(Clone)]
pub(super) struct Standing {
    known: Arc<Mutex<Known>>,
    role: watch::Sender<Role>,
    /// Counts the changes, for those who wait for one.
    changes: watch::Sender<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub leader: Option<LeaderKey>,
    /// Our lease, as long as it is certain that etcd has not let it end.
    pub lease: Option<i64>,
}

impl Known {
    /// A server leads whose lease is on the leader key, and holds.
    fn role(&self, before: Role) -> Role {
        match &self.leader {
            Some(key) if self.lease == Some(key.lease) => Role::Leader { term: key.term },
            Some(key) => Role::Follower { term: key.term, leader: Some(key.id) },
            None => Role::Follower { term: before.term(), leader: None },
        }
    }
}

impl Standing {
    pub fn new(role: watch::Sender<Role>) -> Self {
        Self { known: Arc::default(), role, changes: watch::Sender::new(0) }
    }

    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What stands in etcd. Everything written before must be published already.
    pub fn set_leader(&self, leader: Option<LeaderKey>) {
        self.change(|known| known.leader = leader);
    }

    pub fn set_lease(&self, lease: Option<i64>) {
        self.change(|known| known.lease = lease);
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.lock();
        let before = known.clone();
        change(&mut known);
        if *known == before {
            return;
        }
        self.role.send_if_modified(|role| {
            let now = known.role(*role);
            std::mem::replace(role, now) != now
        });
        drop(known);
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(lease: i64, term: u64) -> Option<LeaderKey> {
        Some(LeaderKey { id: 1, instance: "a".into(), lease, term })
    }

    #[test]
    fn a_server_leads_while_the_leader_key_hangs_on_its_lease_and_the_lease_holds() {
        let role = watch::Sender::new(Role::Follower { term: 0, leader: None });
        let standing = Standing::new(role.clone());
        let now = || *role.borrow();
        standing.set_lease(Some(7));
        assert_eq!(now(), Role::Follower { term: 0, leader: None });
        standing.set_leader(key(7, 40));
        assert_eq!(now(), Role::Leader { term: 40 });
        standing.set_lease(None);
        assert_eq!(now(), Role::Follower { term: 40, leader: Some(1) });
        standing.set_lease(Some(7));
        assert_eq!(now(), Role::Leader { term: 40 });
        standing.set_leader(key(8, 50));
        assert_eq!(now(), Role::Follower { term: 50, leader: Some(1) });
        standing.set_leader(None);
        assert_eq!(now(), Role::Follower { term: 50, leader: None });
    }

    #[test]
    fn a_leader_key_says_who_and_since_when() {
        let value = LeaderKey::value(0x2a, "abc").into();
        let kv = KeyValue { value, lease: 3, create_revision: 9, ..KeyValue::default() };
        let key = LeaderKey { id: 0x2a, instance: "abc".into(), lease: 3, term: 9 };
        assert_eq!(LeaderKey::read(&kv), Some(key));
        assert_eq!(LeaderKey::read(&KeyValue { value: "x".into(), ..kv }), None);
    }
}
