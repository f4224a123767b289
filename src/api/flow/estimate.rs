//! What the width of a request depends on: how much is stored, and how many watch.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use super::width::{self, Listing, Stored, Width};
use crate::api::authz::ResourceRef;
use crate::api::request::RequestLine;
use crate::base::clock::ClockRef;
use crate::object::{GroupResource, Target};
use crate::store::{KeyRange, Store};

/// How long it is believed how much is stored.
const STORED_FOR: Duration = Duration::from_secs(30);
/// More resources than this are not remembered.
const RESOURCES_MAX: usize = 10_000;

pub struct Estimates {
    store: Store,
    clock: ClockRef,
    hasher: RandomState,
    stored: Mutex<HashMap<u64, (Duration, Stored)>>,
    watches: Arc<RwLock<HashMap<u64, u32>>>,
}

/// One open watch; it counts until it is dropped.
pub struct Watching {
    key: u64,
    watches: Arc<RwLock<HashMap<u64, u32>>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watches = self.watches.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(count) = watches.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                watches.remove(&self.key);
            }
        }
    }
}

impl Estimates {
    pub fn new(store: Store, clock: ClockRef) -> Self {
        Self { store, clock, hasher: RandomState::new(), stored: Mutex::default(), watches: Arc::default() }
    }

    /// How wide a request is. `level_max` is what its level lets it be.
    pub fn width(&self, line: &RequestLine, level_max: u32) -> Width {
        let Some(target) = &line.target else { return Width::ONE };
        match line.verb {
            "watch" if !has_initial_events(line) => Width::ONE,
            "list" | "watch" => width::of_list(listing(line, target), self.stored(target), level_max),
            "create" | "update" | "patch" | "delete" => match (target.resource.as_str(), target.subresource.as_str()) {
                // Nobody is told of a token.
                ("serviceaccounts", "token") => Width::ONE,
                _ => width::of_write(self.watchers(target), level_max),
            },
            _ => Width::ONE,
        }
    }

    /// Counts a watch.
    pub fn watching(&self, line: &RequestLine) -> Option<Watching> {
        let target = line.target.as_ref()?;
        let fields = line.param("fieldSelector").unwrap_or_default();
        let at = ResourceRef::from(target).selecting(line.verb, fields, "");
        // A kubelet hears of the pods of its own node only.
        let is_narrow = target.resource == "pods"
            && fields.split(',').any(|term| term.strip_prefix("spec.nodeName=").is_some_and(|node| !node.is_empty()));
        if is_narrow {
            return None;
        }
        let key = self.key(target, at.namespace, at.name);
        let mut watches = self.watches.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        *watches.entry(key).or_default() += 1;
        Some(Watching { key, watches: self.watches.clone() })
    }

    /// How many watches a write concerns: those of all namespaces, of its own, and of the object.
    fn watchers(&self, target: &Target) -> u32 {
        let watches = self.watches.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if watches.is_empty() {
            return 0;
        }
        let count =
            |namespace: &str, name: &str| watches.get(&self.key(target, namespace, name)).copied().unwrap_or_default();
        let mut sum = count("", "");
        if !target.namespace.is_empty() {
            sum += count(&target.namespace, "");
        }
        if !target.name.is_empty() {
            sum += count(&target.namespace, &target.name);
        }
        sum
    }

    /// How much of a resource is stored; counted when asked for, and believed for a while.
    fn stored(&self, target: &Target) -> Option<Stored> {
        let key = self.key(target, "", "");
        let now = self.clock.elapsed();
        let lock = || self.stored.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((since, stored)) = lock().get(&key)
            && now.saturating_sub(*since) < STORED_FOR
        {
            return Some(*stored);
        }
        let (mut count, mut bytes) = (0, 0);
        for object in
            self.store.state().range(&KeyRange::resource(&GroupResource::new(&target.group, &target.resource)))
        {
            count += 1;
            bytes += object.bytes().len() as u64;
        }
        let stored = Stored { count, bytes_each: bytes / count.max(1) };
        let mut all = lock();
        if all.len() < RESOURCES_MAX || all.contains_key(&key) {
            all.insert(key, (now, stored));
        }
        Some(stored)
    }

    fn key(&self, target: &Target, namespace: &str, name: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (&target.group, &target.resource, namespace, name).hash(&mut hasher);
        hasher.finish()
    }
}

fn listing(line: &RequestLine, target: &Target) -> Listing {
    let param = |name| line.param(name).unwrap_or_default();
    let fields = param("fieldSelector");
    let version = param("resourceVersion");
    let limit: u64 = param("limit").parse().unwrap_or_default();
    let is_exact = param("resourceVersionMatch") == "Exact" || limit > 0 && !matches!(version, "" | "0");
    Listing {
        limit,
        is_old: !param("continue").is_empty() || is_exact,
        selects: !fields.is_empty() || !param("labelSelector").is_empty(),
        of_one: !ResourceRef::from(target).selecting(line.verb, fields, "").name.is_empty(),
    }
}

/// Whether a watch begins with what is there.
fn has_initial_events(line: &RequestLine) -> bool {
    let version = line.param("resourceVersion").unwrap_or_default();
    line.flag("sendInitialEvents") || matches!(version, "" | "0")
}
