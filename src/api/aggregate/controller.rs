//! Keeps the table of other servers as the APIService objects are, and the objects' condition true.

use std::sync::Arc;
use std::time::Duration;

use super::{Remote, SERVICES, Table, discovery, local, remote};
use crate::api::crd::controller::own_call;
use crate::api::pipeline::Api;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::view::{EndpointSlice, Service};
use crate::object::{Body, GroupResource, Key, Reason, Status, Target, Timestamp, Verb};
use crate::store::{KeyRange, State, Watch, WatchEnd};

/// How often servers that answer are asked again, and those that do not.
const WELL_EVERY: Duration = Duration::from_secs(30);
const ILL_EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What follows for the condition.
struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// Follows the objects until the server stops.
pub async fn run(api: Arc<Api>) -> Result<(), Status> {
    loop {
        let from = api.state().revision();
        let follow = |resource: GroupResource| {
            let watch = api.store.watch(KeyRange::resource(&resource), from);
            watch.map_err(|error| Status::new(Reason::ServiceUnavailable, error.to_string()))
        };
        let mut services = follow(GroupResource::new("apiregistration.k8s.io", "apiservices"))?;
        let mut definitions = follow(GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions"))?;
        loop {
            keep_local(&api).await;
            let wait = keep_remote(&api).await;
            let changed = async {
                tokio::select! {
                    end = drain(&mut services) => end,
                    end = drain(&mut definitions) => end,
                }
            };
            match tokio::time::timeout(wait, changed).await {
                Err(_) | Ok(Ok(())) => (),
                Ok(Err(WatchEnd::TooSlow)) => break,
                Ok(Err(WatchEnd::Closed)) => return Ok(()),
            }
        }
    }
}

/// Waits for a change, and takes those that came with it.
async fn drain(watch: &mut Watch) -> Result<(), WatchEnd> {
    watch.next().await?;
    while let Ok(Some(_)) = watch.try_next() {}
    Ok(())
}

/// Writes what stands for our own groups.
async fn keep_local(api: &Api) {
    let changes = local::changes(&api.state(), &api.registry.load());
    for object in changes.create {
        let target = target(object.text("metadata.name"), "");
        let target = Target { name: String::new(), ..target };
        told(api.run_boxed(own_call(Verb::Create, target, Body::Tree(object))).await.map(drop));
    }
    for name in changes.delete {
        told(api.run_boxed(own_call(Verb::Delete, target(&name, ""), Body::None)).await.map(drop));
    }
}

fn told(done: Result<(), Status>) {
    match done {
        Err(status) if !matches!(status.reason, Reason::Conflict | Reason::NotFound | Reason::AlreadyExists) => {
            tracing::debug!(%status, "cannot write an APIService");
        }
        _ => (),
    }
}

/// Asks every other server how it is; says when to ask again.
async fn keep_remote(api: &Api) -> Duration {
    let state = api.state();
    let known = api.aggregator.load();
    let (mut table, mut wait) = (Table::new(), Duration::MAX);
    for object in state.range(&KeyRange::resource(&GroupResource::new("apiregistration.k8s.io", "apiservices"))) {
        let tree = object.tree();
        let Some(mut remote) = Remote::read(&tree) else { continue };
        let key = (remote.group.clone(), remote.version.clone());
        if let Some(before) = known.get(&key) {
            remote.resources = before.resources.clone();
        }
        let verdict = judge(api, &state, &mut remote).await;
        remote.is_available = verdict.status == "True";
        wait = wait.min(if remote.is_available { WELL_EVERY } else { ILL_EVERY });
        table.insert(key, Arc::new(remote));
        write(api, object.key(), tree, verdict).await;
    }
    api.aggregator.table.store(Arc::new(table));
    wait
}

/// Whether the server can be reached, and what it serves.
async fn judge(api: &Api, state: &State, remote: &mut Remote) -> Verdict {
    if let Some((reason, message)) = missing(state, remote) {
        return Verdict { status: "False", reason, message };
    }
    match tokio::time::timeout(ANSWER_MAX, remote::document(api, remote)).await {
        Ok(Ok(document)) => {
            remote.resources = discovery::aggregated_resources(&document);
            Verdict { status: "True", reason: "Passed", message: "all checks passed".into() }
        }
        Ok(Err(message)) => Verdict { status: "False", reason: "FailedDiscoveryCheck", message },
        Err(_) => {
            let message = format!("timed out waiting for {}", remote.root());
            Verdict { status: "False", reason: "FailedDiscoveryCheck", message }
        }
    }
}

/// What is not there of the service, in upstream's words.
fn missing(state: &State, remote: &Remote) -> Option<(&'static str, String)> {
    let (namespace, name) = (&remote.namespace, &remote.service);
    let Some(service) = state.get(&Key::of("services", namespace, name)) else {
        return Some(("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
    };
    let service = &service.view::<Service>().spec;
    if service.kind != "ClusterIP" {
        return None;
    }
    let Some(port) = service.ports.iter().find(|port| i64::from(port.port) == i64::from(remote.port)) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {}", remote.port);
        return Some(("ServicePortError", message));
    };
    let slices = GroupResource::new("discovery.k8s.io", "endpointslices");
    let range = KeyRange::namespace(&slices, namespace);
    let mut slices = state
        .range(&range)
        .filter(|slice| slice.meta().label("kubernetes.io/service-name") == Some(name.as_str()))
        .peekable();
    if slices.peek().is_none() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(("EndpointsNotFound", message));
    }
    let serves = slices.any(|slice| {
        let slice = slice.view::<EndpointSlice>();
        slice.endpoints.iter().any(|endpoint| endpoint.conditions.ready != Some(false))
            && slice.ports.iter().any(|own| own.name.as_deref().unwrap_or_default() == port.name && own.port.is_some())
    });
    let message = || {
        format!("endpointslices for service/{name} in {namespace:?} have no addresses with port name {:?}", port.name)
    };
    (!serves).then(|| ("MissingEndpoints", message()))
}

/// Writes the condition, if it is not what is there.
async fn write(api: &Api, key: &Key, mut object: Tree, verdict: Verdict) {
    let Verdict { status, reason, message } = verdict;
    let before = object.items("status.conditions").iter().find(|one| one.text("type") == "Available");
    let is_same = |one: &Tree| one.text("status") == status && one.text("reason") == reason;
    if before.is_some_and(|one| is_same(one) && one.text("message") == message) {
        return;
    }
    let now: Timestamp = api.now();
    let since = before.filter(|one| one.text("status") == status).map(|one| one.text("lastTransitionTime").to_owned());
    let since = since.map_or_else(|| json!(now.to_string()), Tree::from);
    let condition = json!({"type": "Available", "status": status, "lastTransitionTime": since, "reason": reason, "message": message});
    let mut conditions = object.items("status.conditions").to_vec();
    conditions.retain(|one| one.text("type") != "Available");
    conditions.push(condition);
    object.set("status.conditions", conditions);
    debug_assert_eq!(key.resource(), SERVICES);
    let call = own_call(Verb::Update, target(key.name(), "status"), Body::Tree(object));
    told(api.run_boxed(call).await.map(drop));
}

fn target(name: &str, subresource: &str) -> Target {
    Target {
        group: "apiregistration.k8s.io".into(),
        version: "v1".into(),
        resource: "apiservices".into(),
        name: name.into(),
        subresource: subresource.into(),
        ..Target::default()
    }
}
