//! Keeps the table of other servers as the APIService objects are, and the objects' condition true.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use futures_util::stream::{self, StreamExt};

use super::{Remote, SERVICES, Table, discovery, local, remote};
use crate::api::crd::controller::own_call;
use crate::api::pipeline::Api;
use crate::api::started::Step;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::view::{EndpointSlice, Service};
use crate::object::{Body, GroupResource, Key, Reason, Status, Target, Timestamp, Verb};
use crate::store::{KeyRange, State, Watch, WatchEnd};

/// How often servers that answer are asked again, and those that do not.
const WELL_EVERY: Duration = Duration::from_secs(30);
const ILL_EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often it is asked for before the server counts as gone.
const ATTEMPTS: usize = 5;
/// How many objects are written together.
const WRITES_AT_ONCE: usize = 64;

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
            if keep_local(&api).await {
                api.started.reached(Step::OwnGroups);
            }
            let wait = keep_remote(&api).await;
            api.started.reached(Step::Discovery);
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

/// Writes what stands for our own groups; says whether all of it is there.
async fn keep_local(api: &Api) -> bool {
    let changes = local::changes(&api.state(), &api.registry.load());
    let created = stream::iter(changes.create).map(|object| async move {
        let target = target("", "");
        told(api.run_boxed(own_call(Verb::Create, target, Body::Tree(object))).await.map(drop))
    });
    let all_there = created.buffer_unordered(WRITES_AT_ONCE).all(async |written| written).await;
    for name in changes.delete {
        told(api.run_boxed(own_call(Verb::Delete, target(&name, ""), Body::None)).await.map(drop));
    }
    all_there
}

/// Whether it is as it was to be made, by us or by another.
fn told(done: Result<(), Status>) -> bool {
    match done {
        Err(status) if !matches!(status.reason, Reason::Conflict | Reason::NotFound | Reason::AlreadyExists) => {
            tracing::debug!(%status, "cannot write an APIService");
            false
        }
        _ => true,
    }
}

/// Leads requests to all other servers, and asks each how it is; says when to ask again.
async fn keep_remote(api: &Api) -> Duration {
    let state = api.state();
    let known = api.aggregator.load();
    let mut remotes = Vec::new();
    let range = KeyRange::resource(&GroupResource::new("apiregistration.k8s.io", "apiservices"));
    for object in state.range(&range) {
        let tree = object.tree();
        let Some(mut remote) = Remote::read(&tree) else { continue };
        if let Some(before) = known.get(&remote.serves()) {
            remote.resources = before.resources.clone();
        }
        remotes.push((object.key(), tree, remote));
    }
    lead(api, remotes.iter().map(|(.., remote)| remote.clone()).collect());
    api.started.reached(Step::OtherGroups);
    let judged = join_all(remotes.iter_mut().map(|(.., remote)| judge(api, &state, remote))).await;
    lead(api, remotes.iter().map(|(.., remote)| remote.clone()).collect());
    let mut wait = Duration::MAX;
    for ((key, tree, remote), verdict) in remotes.into_iter().zip(judged) {
        wait = wait.min(if remote.is_available { WELL_EVERY } else { ILL_EVERY });
        write(api, key, tree, verdict).await;
    }
    wait
}

fn lead(api: &Api, to: Vec<Remote>) {
    let table: Table = to.into_iter().map(|remote| (remote.serves(), Arc::new(remote))).collect();
    api.aggregator.table.store(Arc::new(table));
}

/// Whether the server can be reached, and what it serves, as its entry shall say from now on.
async fn judge(api: &Api, state: &State, remote: &mut Remote) -> Verdict {
    let verdict = ask(api, state, remote).await;
    remote.is_available = verdict.status == "True";
    verdict
}

async fn ask(api: &Api, state: &State, remote: &mut Remote) -> Verdict {
    if let Some((reason, message)) = missing(state, remote) {
        return Verdict { status: "False", reason, message };
    }
    let attempt = || Box::pin(remote::document(api, remote, ANSWER_MAX));
    let found = match attempt().await {
        Ok(document) => Ok(document),
        // Each goes to one of its pods, and it is well if one of them is.
        Err(_) => select_ok((1..ATTEMPTS).map(|_| attempt())).await.map(|(document, _)| document),
    };
    match found {
        Ok(document) => {
            remote.resources = discovery::aggregated_resources(&document);
            Verdict { status: "True", reason: "Passed", message: "all checks passed".into() }
        }
        Err(message) => Verdict { status: "False", reason: "FailedDiscoveryCheck", message },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::world;

    #[tokio::test]
    async fn a_start_is_over_when_groups_have_their_services_and_others_are_led_to() {
        let world = world().await;
        world.api.started.expect(&world.api.health);
        let spec = json!({
            "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 1,
            "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "nobody", "port": 443},
        });
        let metadata = json!({"name": "v1.wardle.example.com"});
        let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec});
        let at = "/apis/apiregistration.k8s.io/v1/apiservices";
        assert_eq!(world.send(&format!("POST {at}"), service).await.0, 201);
        assert_eq!(world.send("GET /readyz/autoregister-completion", Tree::Null).await.0, 500);
        assert_eq!(world.send("GET /apis/wardle.example.com/v1/flunders", Tree::Null).await.0, 404);
        super::super::start(&world.api, &world.api.scope);
        let hooks = ["status-remote-available-controller", "discovery-controller", "status-local-available-controller"];
        for hook in hooks {
            let page = format!("GET /readyz/poststarthook/apiservice-{hook}");
            for _ in 0..1_000 {
                if world.send(&page, Tree::Null).await.0 == 200 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(world.send(&page, Tree::Null).await, (200, "ok".into()));
        }
        assert_eq!(world.send(&format!("GET {at}/v1.apps"), Tree::Null).await.0, 200);
        assert_eq!(world.send("GET /apis/wardle.example.com/v1/flunders", Tree::Null).await.0, 503);
        world.api.scope.cancel();
    }
}
