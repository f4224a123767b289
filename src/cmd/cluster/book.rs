//! Where the servers are: what the store says, and what was heard since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Member, hex};
use crate::object::tree::{from_tree, json, to_tree};
use crate::object::{GroupResource, Key, Tree};
use crate::store::{Action, Command, Expect, KeyRange, Payload, Store, Write};

/// The address book of a server.
#[derive(Default)]
pub struct Book {
    store: OnceLock<Store>,
    /// Heard from the servers themselves; newer than the store, or not in it yet.
    heard: Mutex<BTreeMap<u64, Member>>,
}

impl Book {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on it knows what the store says.
    pub fn open(&self, store: Store) {
        let _ = self.store.set(store);
    }

    pub fn hear(&self, member: Member) {
        if member.number() != 0 && !member.address.is_empty() {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(member.number(), member);
        }
    }

    /// Server `id` was heard of at `address`.
    pub fn hear_address(&self, id: u64, address: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.get(&id).is_none_or(|known| known.address != address) {
            heard.insert(id, Member { id: hex(id), address: address.to_owned(), ..Member::default() });
        }
    }

    pub fn address(&self, id: u64) -> Option<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(|it| it.address.clone());
        heard.or_else(|| self.stored(id).map(|member| member.address))
    }

    pub fn stored(&self, id: u64) -> Option<Member> {
        let store = self.store.get()?;
        store.state().get(&key(id)).and_then(|object| read(&object.tree()))
    }

    /// Every server that the store has heard of, also those that are no members any more.
    pub fn all_stored(&self) -> Vec<Member> {
        let Some(store) = self.store.get() else { return Vec::new() };
        let range = KeyRange::resource(&GroupResource::new("skiff.io", "members"));
        store.state().range(&range).filter_map(|object| read(&object.tree())).collect()
    }

    /// Everybody that is known from anywhere.
    pub fn all(&self) -> Vec<Member> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stored = self.all_stored().into_iter().filter(|it| !it.is_removed).map(|it| (it.number(), it));
        let mut all: BTreeMap<u64, Member> = stored.collect();
        for (id, member) in heard {
            all.entry(id).or_default().address = member.address;
            all.entry(id).and_modify(|it| it.id = hex(id));
        }
        all.into_values().collect()
    }
}

/// Writes `member` down, whatever was there.
pub fn writes(member: &Member) -> Command {
    let id = member.number();
    let tree = json!({"metadata": {"name": hex(id), "resourceVersion": ""}, "spec": to_tree(member)});
    let payload = Payload::find(tree.to_string()).expect("the text has the place");
    Command::new(vec![Write { key: key(id), expect: Expect::Any, action: Action::Put(payload) }])
}

fn key(id: u64) -> Key {
    Key::new(&GroupResource::new("skiff.io", "members"), "", &hex(id))
}

fn read(tree: &Tree) -> Option<Member> {
    from_tree(tree.get("spec")?).ok()
}
