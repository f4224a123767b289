//! Keeps the registry as the stored definitions are, and the definitions' conditions true.
//!
//! Every change of a definition leads to the same pass over all of them: names are given out, what
//! is established is served, what is being deleted loses its objects and then itself. A pass writes
//! only what is not so already, so that it comes to rest.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::DEFINITIONS;
use super::names::Used;
use super::status::{FINALIZER, has_finalizer, is_true, set_condition, settle_names};
use crate::api::pipeline::Api;
use crate::object::tree::{Tree, TreePath};
use crate::object::{Body, Call, GroupResource, Key, Options, Reason, Revision, Status, Target, User, Verb};
use crate::resources::custom::resource_of;
use crate::store::{KeyRange, State, WatchEnd};

/// How often a deletion that waits for something is looked at again.
const PENDING_EVERY: Duration = Duration::from_millis(500);
pub const GROUP: &str = "apiextensions.k8s.io";

/// What is known of the definitions since the last pass.
#[derive(Default)]
pub struct Definitions {
    /// By key, as of a revision.
    seen: HashMap<Key, (Revision, Tree)>,
    /// Group and plural of what is served, by the definition's key, as of a revision.
    served: HashMap<Key, (Revision, String, String)>,
}

/// Follows the definitions until the server stops.
pub async fn run(api: Arc<Api>) -> Result<(), Status> {
    let mut definitions = Definitions::default();
    loop {
        let state = api.state();
        let range = KeyRange::resource(&GroupResource::new(GROUP, "customresourcedefinitions"));
        let mut watch = api
            .store
            .watch(range, state.revision())
            .map_err(|error| Status::new(Reason::ServiceUnavailable, error.to_string()))?;
        loop {
            let is_pending = definitions.pass(&api).await;
            let wait = if is_pending { PENDING_EVERY } else { Duration::MAX };
            match tokio::time::timeout(wait, watch.next()).await {
                Err(_) => (),
                Ok(Ok(_)) => while let Ok(Some(_)) = watch.try_next() {},
                Ok(Err(WatchEnd::TooSlow)) => break,
                Ok(Err(WatchEnd::Closed)) => return Ok(()),
            }
        }
    }
}

impl Definitions {
    /// Brings everything in line with the newest state; says whether something is to be looked at
    /// again soon.
    async fn pass(&mut self, api: &Api) -> bool {
        self.load(api);
        let mut is_pending = false;
        let mut keys: Vec<Key> = self.seen.keys().cloned().collect();
        keys.sort();
        for key in keys {
            if let Err(status) = self.keep_one(api, &key, &mut is_pending).await {
                is_pending = true;
                if !matches!(status.reason, Reason::Conflict | Reason::NotFound) {
                    tracing::warn!(definition = key.name(), %status, "cannot bring a definition in line");
                }
            }
        }
        is_pending
    }

    /// Serves everything that is established in the newest state.
    pub fn load(&mut self, api: &Api) {
        self.read(&api.state());
        self.serve(api);
    }

    /// Reads the definitions that changed.
    fn read(&mut self, state: &State) {
        let range = KeyRange::resource(&GroupResource::new(GROUP, "customresourcedefinitions"));
        let mut present = BTreeSet::new();
        for object in state.range(&range) {
            present.insert(object.key().clone());
            if self.seen.get(object.key()).is_none_or(|(revision, _)| *revision != object.revision()) {
                self.seen.insert(object.key().clone(), (object.revision(), object.tree()));
            }
        }
        self.seen.retain(|key, _| present.contains(key));
    }

    /// Makes the registry serve what is established, and nothing else.
    fn serve(&mut self, api: &Api) {
        let gone: Vec<Key> = self.served.keys().filter(|key| !self.is_established(key)).cloned().collect();
        for key in gone {
            if let Some((_, group, plural)) = self.served.remove(&key) {
                api.registry.remove(&group, &plural);
            }
        }
        for (key, (revision, tree)) in &self.seen {
            let is_current = self.served.get(key).is_some_and(|(served, ..)| served == revision);
            if is_current || !is_true(tree, "Established") {
                continue;
            }
            let (group, plural) = (tree.text("spec.group").to_owned(), tree.text("spec.names.plural").to_owned());
            match resource_of(tree) {
                Some(resource) => api.registry.add(Arc::new(resource)),
                None => drop(api.registry.remove(&group, &plural)),
            }
            self.served.insert(key.clone(), (*revision, group, plural));
        }
    }

    fn is_established(&self, key: &Key) -> bool {
        self.seen.get(key).is_some_and(|(_, tree)| is_true(tree, "Established"))
    }

    async fn keep_one(&mut self, api: &Api, key: &Key, is_pending: &mut bool) -> Result<(), Status> {
        let Some((_, tree)) = self.seen.get(key) else { return Ok(()) };
        let mut wanted = tree.clone();
        if tree.has("metadata.deletionTimestamp") {
            if !has_finalizer(tree) {
                return Ok(());
            }
            *is_pending |= !empty_out(api, &mut wanted).await?;
        } else {
            let group = tree.text("spec.group").to_owned();
            let same_group = self.seen.values().map(|(_, tree)| tree).filter(|tree| tree.text("spec.group") == group);
            settle_names(&mut wanted, &Used::of(same_group), api.now());
        }
        if wanted == *tree {
            return Ok(());
        }
        write_status(api, key, wanted).await?;
        // What was written decides about the names of those that come next.
        let state = api.state();
        match state.get(key) {
            Some(object) => drop(self.seen.insert(key.clone(), (object.revision(), object.tree()))),
            None => drop(self.seen.remove(key)),
        }
        self.serve(api);
        Ok(())
    }
}

/// Deletes the objects of a definition, and takes its finalizer away when there are none left; says
/// whether there are.
async fn empty_out(api: &Api, definition: &mut Tree) -> Result<bool, Status> {
    let now = api.now();
    if is_true(definition, "Established") {
        let (group, plural) =
            (definition.text("spec.group").to_owned(), definition.text("spec.names.plural").to_owned());
        let namespaces = namespaces_of(api, &group, &plural);
        let version = api.registry.find_any(&group, &plural).map(|resource| resource.versions[0].name.to_string());
        if let (Some(version), false) = (version, namespaces.is_empty()) {
            for namespace in namespaces {
                let target = Target {
                    group: group.clone(),
                    version: version.clone(),
                    resource: plural.clone(),
                    namespace,
                    ..Target::default()
                };
                api.run_boxed(own_call(Verb::DeleteCollection, target, Body::None)).await?;
            }
            if !namespaces_of(api, &group, &plural).is_empty() {
                let message = "CustomResource deletion is in progress";
                set_condition(definition, "Terminating", true, "InstanceDeletionInProgress", message, now);
                return Ok(false);
            }
        }
        set_condition(definition, "Terminating", false, "InstanceDeletionCompleted", "removed all instances", now);
    } else {
        set_condition(definition, "Terminating", false, "NeverEstablished", "resource was never established", now);
    }
    let finalizers = definition.items("metadata.finalizers");
    let kept: Vec<Tree> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
    match kept.is_empty() {
        true => drop(definition.unset("metadata.finalizers")),
        false => drop(definition.set("metadata.finalizers", kept)),
    }
    Ok(true)
}

/// The namespaces that hold objects of a resource; an empty name where it has none.
fn namespaces_of(api: &Api, group: &str, plural: &str) -> BTreeSet<String> {
    let range = KeyRange::resource(&GroupResource::new(group, plural));
    api.state().range(&range).map(|object| object.key().namespace().to_owned()).collect()
}

async fn write_status(api: &Api, key: &Key, definition: Tree) -> Result<(), Status> {
    let target = Target {
        group: GROUP.into(),
        version: "v1".into(),
        resource: "customresourcedefinitions".into(),
        name: key.name().into(),
        subresource: "status".into(),
        ..Target::default()
    };
    debug_assert_eq!(key.resource(), DEFINITIONS);
    api.run_boxed(own_call(Verb::Update, target, Body::Tree(definition))).await.map(drop)
}

/// A call of the API server itself.
pub(in crate::api) fn own_call(verb: Verb, target: Target, body: Body) -> Call {
    Call {
        user: User::named("system:apiserver", &["system:masters"]),
        verb,
        target,
        options: Options::default(),
        body,
        user_agent: "kube-apiserver".into(),
    }
}
