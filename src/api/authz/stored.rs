//! Roles and bindings in the store, with a version that is cheap to ask for.
//!
//! The version rises when a watch of one of the four resources has delivered something. The store
//! delivers to watches before it acknowledges a write, so whoever was told that a role changed is
//! judged by the changed role.

use std::sync::Mutex;

use super::related::is_related;
use super::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Policies, ROLE_BINDINGS, ROLES};
use crate::object::{GroupResource, Key, ObjectRef, Revision};
use crate::store::{KeyRange, Store, Watch};

const RESOURCES: [&str; 4] = [CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS];

pub struct StoredPolicies {
    store: Store,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    version: u64,
    /// Of the whole store, when the watches were last looked at.
    revision: Revision,
    watches: Vec<Watch>,
}

impl StoredPolicies {
    pub fn new(store: Store) -> Self {
        Self { store, seen: Mutex::default() }
    }
}

impl Policies for StoredPolicies {
    fn version(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = self.store.state().revision();
        if seen.revision == now && !seen.watches.is_empty() {
            return seen.version;
        }
        if seen.watches.is_empty() || seen.drain() {
            seen.version += 1;
        }
        if seen.watches.is_empty() {
            // At the start, or after a quiet time longer than the store's history.
            let watches = RESOURCES.map(|name| self.store.watch(range(name), now));
            seen.watches = watches.into_iter().collect::<Result<_, _>>().unwrap_or_default();
        }
        seen.revision = now;
        seen.version
    }

    fn list(&self, resource: &str) -> Vec<ObjectRef> {
        self.store.state().range(&range(resource)).cloned().collect()
    }

    fn is_related(&self, node: &str, resource: &str, namespace: &str, name: &str) -> bool {
        is_related(&self.store.state(), node, resource, namespace, name)
    }
}

impl Seen {
    /// Whether a watch had something. One that ended takes all with it, and counts as a change.
    fn drain(&mut self) -> bool {
        let mut changed = false;
        let mut ended = false;
        for watch in &mut self.watches {
            loop {
                match watch.try_next() {
                    Ok(Some(_)) => changed = true,
                    Ok(None) => break,
                    Err(_) => {
                        ended = true;
                        break;
                    }
                }
            }
        }
        if ended {
            self.watches.clear();
        }
        changed || ended
    }
}

fn range(resource: &str) -> KeyRange {
    let resource: GroupResource = Key::of(resource, "", "").group_resource();
    KeyRange::resource(&resource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Command, Payload};

    #[tokio::test]
    async fn the_version_rises_with_roles_and_not_with_pods() {
        let store = Store::temporary().await;
        let policies = StoredPolicies::new(store.clone());
        let put = async |resource: &str| {
            let bytes = br#"{"metadata":{"name":"x","resourceVersion":""}}"#.to_vec();
            let payload = Payload::find(bytes).unwrap();
            store.propose(Command::create(Key::of(resource, "ns", "x"), payload)).await.unwrap();
        };
        let first = policies.version();
        put("pods").await;
        assert_eq!(policies.version(), first);
        put(ROLES).await;
        let second = policies.version();
        assert!(second > first);
        assert_eq!(policies.version(), second);
        assert_eq!(policies.list(ROLES).len(), 1);
    }
}
