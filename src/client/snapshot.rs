//! What is known of the cluster at one moment, with the indexes that loops need.
//!
//! Everything in here is persistent (in the sense of data structures): a snapshot is a few
//! pointers, taking one costs nothing, and it never changes under its reader. Each resource is
//! complete up to a revision of its own; resources may be a few milliseconds apart.

use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};

use super::seen::Seen;
use crate::object::view::{Lease, Pod};
use crate::object::{GroupResource, Key, Kind, ObjectRef, Revision, Timestamp, View};

/// The state behind a [`Snapshot`], changed object by object by the cache.
#[derive(Clone, Default)]
pub struct State {
    objects: OrdMap<Key, ObjectRef>,
    by_owner: HashMap<Arc<str>, OrdSet<Key>>,
    by_node: HashMap<Arc<str>, OrdSet<Key>>,
    followed: OrdMap<GroupResource, Followed>,
    /// When the present state of each lease came in, on our clock.
    arrived: HashMap<Key, Timestamp>,
}

/// How far one resource is known.
#[derive(Clone)]
struct Followed {
    kind: Kind,
    revision: Revision,
    synced: bool,
}

/// The cluster at one moment.
#[derive(Clone)]
pub struct Snapshot {
    state: Arc<State>,
    now: Timestamp,
}

impl State {
    pub fn get(&self, key: &Key) -> Option<&ObjectRef> {
        self.objects.get(key)
    }

    /// Takes in a state of an object; gives back the one it replaces. A state older than what is
    /// known is refused (`Err`): lists and watches may overlap.
    pub fn put(&mut self, object: ObjectRef, now: Timestamp) -> Result<Option<ObjectRef>, ()> {
        let before = self.objects.get(object.key()).cloned();
        if before.as_ref().is_some_and(|before| before.revision() >= object.revision()) {
            return Err(());
        }
        if let Some(before) = &before {
            self.unindex(before);
        }
        self.index(&object);
        if object.key().resource() == Lease::RESOURCE {
            self.arrived.insert(object.key().clone(), now);
        }
        self.objects.insert(object.key().clone(), object);
        Ok(before)
    }

    pub fn remove(&mut self, key: &Key) -> Option<ObjectRef> {
        let before = self.objects.remove(key)?;
        self.arrived.remove(key);
        self.unindex(&before);
        Some(before)
    }

    /// Notes that `kind` is known up to `revision`.
    pub fn reach(&mut self, kind: &Kind, revision: Revision, synced: bool) {
        let entry = self.followed.entry(kind.resource()).or_insert_with(|| Followed {
            kind: kind.clone(),
            revision: Revision::ZERO,
            synced: false,
        });
        entry.revision = entry.revision.max(revision);
        entry.synced |= synced;
    }

    /// Forgets a resource and all its objects, which it gives back.
    pub fn forget(&mut self, resource: &GroupResource) -> Vec<ObjectRef> {
        self.followed.remove(resource);
        let keys: Vec<Key> = self.range(&resource.prefix()).map(|object| object.key().clone()).collect();
        keys.iter().filter_map(|key| self.remove(key)).collect()
    }

    pub fn revision(&self, resource: &GroupResource) -> Option<Revision> {
        self.followed.get(resource).map(|followed| followed.revision)
    }

    /// Whether all built-in kinds are known. No loop has to wait for custom ones, which may be in the hands of
    /// a webhook that does not answer.
    pub fn all_synced(&self) -> bool {
        self.followed.values().all(|followed| followed.synced || followed.kind.is_custom())
    }

    /// Objects whose key begins with `prefix`, in order.
    pub fn range<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a ObjectRef> + 'a {
        self.objects
            .range::<_, str>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(move |(key, _)| key.as_str().starts_with(prefix))
            .map(|(_, object)| object)
    }

    fn index(&mut self, object: &ObjectRef) {
        for owner in &object.meta().owner_references {
            add(&mut self.by_owner, &owner.uid, object.key());
        }
        if let Some(orphans) = orphans_of(object) {
            add(&mut self.by_owner, &orphans, object.key());
        }
        if let Some(node) = node_of(object) {
            add(&mut self.by_node, &node, object.key());
        }
    }

    fn unindex(&mut self, object: &ObjectRef) {
        for owner in &object.meta().owner_references {
            take(&mut self.by_owner, &owner.uid, object.key());
        }
        if let Some(orphans) = orphans_of(object) {
            take(&mut self.by_owner, &orphans, object.key());
        }
        if let Some(node) = node_of(object) {
            take(&mut self.by_node, &node, object.key());
        }
    }
}

fn node_of(object: &ObjectRef) -> Option<String> {
    let pod = (object.key().resource() == Pod::RESOURCE).then(|| object.view::<Pod>())?;
    pod.is_scheduled().then(|| pod.spec.node_name.clone())
}

/// What workloads may adopt.
const ADOPTABLE: &[&str] = &["pods", "replicasets.apps", "controllerrevisions.apps"];

/// Under which made-up owner an adoptable object without a controller is indexed.
fn orphans_of(object: &ObjectRef) -> Option<String> {
    let adoptable = ADOPTABLE.contains(&object.key().resource()) && object.meta().controller().is_none();
    adoptable.then(|| orphans_name(object.key().resource(), object.key().namespace()))
}

fn orphans_name(resource: &str, namespace: &str) -> String {
    format!("/{resource}/{namespace}")
}

fn add(index: &mut HashMap<Arc<str>, OrdSet<Key>>, name: &str, key: &Key) {
    match index.get_mut(name) {
        Some(keys) => drop(keys.insert(key.clone())),
        None => drop(index.insert(name.into(), OrdSet::unit(key.clone()))),
    }
}

fn take(index: &mut HashMap<Arc<str>, OrdSet<Key>>, name: &str, key: &Key) {
    if let Some(keys) = index.get_mut(name) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(name);
        }
    }
}

impl Snapshot {
    pub fn new(state: Arc<State>, now: Timestamp) -> Self {
        Self { state, now }
    }

    /// A snapshot of these objects; every built-in resource counts as followed and synced.
    pub fn of(objects: impl IntoIterator<Item = ObjectRef>, now: Timestamp) -> Self {
        let mut state = State::default();
        for kind in crate::object::kind::BUILT_IN {
            state.reach(kind, Revision::ZERO, true);
        }
        for object in objects {
            let renewed = Seen::<Lease>::new(&object).and_then(|lease| lease.spec.renew_time);
            // Two of one name in a made-up snapshot: the newer one counts.
            let _ = state.put(object, renewed.unwrap_or(now));
        }
        Self { state: Arc::new(state), now }
    }

    /// When it was taken: the only time that a reconcile may ask for.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The object at `key`, if it exists.
    pub fn get<V: View>(&self, key: &Key) -> Option<Seen<V>> {
        self.state.get(key).and_then(Seen::new)
    }

    /// The object of a view's resource by its name; an empty namespace for what has none.
    pub fn find<V: View>(&self, namespace: &str, name: &str) -> Option<Seen<V>> {
        self.get(&Key::of(V::RESOURCE, namespace, name))
    }

    pub fn object(&self, key: &Key) -> Option<&ObjectRef> {
        self.state.get(key)
    }

    /// Every object of the view's resource in `namespace`, by name; an empty namespace means all.
    pub fn list<V: View>(&self, namespace: &str) -> Vec<Seen<V>> {
        let prefix =
            if namespace.is_empty() { format!("{}/", V::RESOURCE) } else { format!("{}/{namespace}/", V::RESOURCE) };
        self.state.range(&prefix).filter_map(Seen::new).collect()
    }

    /// Objects of any resource whose key begins with `prefix`.
    pub fn range<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a ObjectRef> + 'a {
        self.state.range(prefix)
    }

    /// Everything that names `uid` among its owners.
    pub fn dependents<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a ObjectRef> + 'a {
        self.state.by_owner.get(uid).into_iter().flatten().filter_map(|key| self.state.get(key))
    }

    /// Objects of the view's resource whose controller is `uid`.
    pub fn owned_by<V: View>(&self, uid: &str) -> Vec<Seen<V>> {
        let mine = self.dependents(uid).filter(|object| object.meta().is_controlled_by(uid));
        mine.filter_map(Seen::new).collect()
    }

    /// When a lease was last seen to change, on our own clock: other machines' may be wrong.
    pub fn renewed_at(&self, lease: &Key) -> Option<Timestamp> {
        self.state.arrived.get(lease).copied()
    }

    /// Objects of an adoptable resource that no controller has, in one namespace.
    pub fn orphans<V: View>(&self, namespace: &str) -> Vec<Seen<V>> {
        self.dependents(&orphans_name(V::RESOURCE, namespace)).filter_map(Seen::new).collect()
    }

    pub fn pods_on_node(&self, node: &str) -> Vec<Seen<Pod>> {
        let keys = self.state.by_node.get(node);
        keys.into_iter().flatten().filter_map(|key| self.get(key)).collect()
    }

    /// Names of the nodes that pods are bound to, whether or not such nodes exist.
    pub fn nodes_with_pods(&self) -> impl Iterator<Item = &str> {
        self.state.by_node.keys().map(|name| &**name)
    }

    /// The kinds that are followed.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.state.followed.values().map(|followed| &followed.kind)
    }

    /// The followed kind of a key's resource.
    pub fn kind_of(&self, key: &Key) -> Option<&Kind> {
        self.state.followed.get(&key.group_resource()).map(|followed| &followed.kind)
    }

    /// The followed kind that an owner reference names; its version does not count.
    pub fn kind_named(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.kinds().find(|known| known.kind == kind && known.group == group)
    }

    /// Whether `resource` is followed and known up to `revision`.
    pub fn has_reached(&self, resource: &GroupResource, revision: Revision) -> bool {
        self.state.revision(resource).is_some_and(|known| known >= revision)
    }

    /// Whether every followed resource has been listed once.
    pub fn is_synced(&self) -> bool {
        self.state.all_synced()
    }
}
