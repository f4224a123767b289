//! The API as a client library sees it: `kube`, against the real program.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Error, ResourceExt};
use serde_json::json;

use crate::server::Server;

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"key": value}}))
        .unwrap()
}

/// The reason of the Status that the server refused with.
fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> (u16, String, String) {
    match answer {
        Err(Error::Api(status)) => (status.code, status.reason, status.message),
        other => panic!("the server should have refused: {other:?}"),
    }
}

#[tokio::test]
async fn objects_are_created_listed_changed_and_deleted() {
    let server = Server::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await, "default");
    for name in ["a", "b", "c"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    let listed = maps.list(&ListParams::default().labels("app in (a, c)")).await.unwrap();
    assert_eq!(listed.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["a", "c"]);
    let page = maps.list(&ListParams::default().labels("app").limit(2)).await.unwrap();
    let rest = page.metadata.continue_.clone().expect("more than one page");
    let rest = maps.list(&ListParams::default().labels("app").limit(2).continue_token(&rest)).await.unwrap();
    assert_eq!(page.items.len() + rest.items.len(), 3);

    let seen = maps.get("a").await.unwrap();
    let merged = maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"more": "2"}}))).await.unwrap();
    assert_eq!(merged.data.as_ref().unwrap().len(), 2);
    let (code, reason, message) = refusal(maps.replace("a", &PostParams::default(), &seen).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"), "{message}");
    assert!(
        message.contains("the object has been modified; please apply your changes to the latest version"),
        "{message}"
    );

    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(refusal(maps.get("a").await).2, "configmaps \"a\" not found");
}

#[tokio::test]
async fn two_who_apply_the_same_field_hear_of_each_other() {
    let server = Server::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await, "default");
    let desired = |value: &str| {
        let metadata = json!({"name": "m"});
        Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": value}}))
    };
    let first = maps.patch("m", &PatchParams::apply("one"), &desired("1")).await.unwrap();
    let again = maps.patch("m", &PatchParams::apply("one"), &desired("1")).await.unwrap();
    assert_eq!(first.resource_version(), again.resource_version(), "an apply that changes nothing writes nothing");
    let (code, _, message) = refusal(maps.patch("m", &PatchParams::apply("two"), &desired("2")).await);
    assert_eq!(code, 409);
    assert!(message.contains("conflict with \"one\": .data.key"), "{message}");
    let forced = maps.patch("m", &PatchParams::apply("two").force(), &desired("2")).await.unwrap();
    assert_eq!(forced.data.unwrap()["key"], "2");
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_a_list() {
    let server = Server::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await, "default");
    let from = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = Box::pin(maps.watch(&WatchParams::default().labels("app=w"), &from).await.unwrap());
    maps.create(&PostParams::default(), &config_map("other", "1")).await.unwrap();
    maps.create(&PostParams::default(), &config_map("w", "1")).await.unwrap();
    maps.patch("w", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "2"}}))).await.unwrap();
    // One that leaves the selection is deleted, as far as this watch is concerned.
    maps.patch("w", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"app": "x"}}})))
        .await
        .unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        match events.try_next().await.unwrap().expect("the watch goes on") {
            WatchEvent::Added(map) => told.push(("added", map.name_any())),
            WatchEvent::Modified(map) => told.push(("modified", map.name_any())),
            WatchEvent::Deleted(map) => told.push(("deleted", map.name_any())),
            WatchEvent::Bookmark(_) => (),
            WatchEvent::Error(status) => panic!("{status:?}"),
        }
    }
    assert_eq!(told, [("added", "w"), ("modified", "w"), ("deleted", "w")].map(|(what, name)| (what, name.to_owned())));
}

/// Defines boats: the resource, and how they are reached.
async fn define_boats(client: kube::Client) -> (ApiResource, Api<DynamicObject>) {
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "boats.it.example"},
        "spec": {
            "group": "it.example", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {
                    "type": "object",
                    "properties": {"oars": {"type": "integer", "default": 2}, "sail": {"type": "boolean"}},
                    "x-kubernetes-validations": [{"rule": "self.oars % 2 == 0", "message": "oars come in pairs"}],
                }},
            }}}],
        },
    }))
    .unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    let mut events = Box::pin(definitions.watch(&WatchParams::default(), "0").await.unwrap());
    while let Some(event) = events.try_next().await.unwrap() {
        let (WatchEvent::Added(now) | WatchEvent::Modified(now)) = event else { continue };
        let conditions = now.status.and_then(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
            break;
        }
    }
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("it.example", "v1", "Boat"), "boats");
    let boats: Api<DynamicObject> = Api::namespaced_with(client, "default", &resource);
    // Served a moment after it is told to be established.
    let deadline = Instant::now() + Duration::from_secs(10);
    while boats.list(&ListParams::default()).await.is_err() {
        assert!(Instant::now() < deadline, "boats are not served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (resource, boats)
}

#[tokio::test]
async fn a_definition_makes_a_resource_with_defaults_and_rules() {
    let server = Server::start().await;
    let (resource, boats) = define_boats(server.admin().await).await;
    let boat = |name: &str, spec: serde_json::Value| DynamicObject::new(name, &resource).data(json!({"spec": spec}));
    let made =
        boats.create(&PostParams::default(), &boat("dinghy", json!({"sail": true, "unknown": 1}))).await.unwrap();
    assert_eq!(made.data["spec"], json!({"oars": 2, "sail": true}));
    let (code, _, message) = refusal(boats.create(&PostParams::default(), &boat("odd", json!({"oars": 3}))).await);
    assert_eq!(code, 422);
    assert!(message.contains("oars come in pairs"), "{message}");
}

/// Waits until the boat is gone.
async fn sinks(boats: &Api<DynamicObject>, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while boats.get_opt(name).await.unwrap_or_default().is_some() {
        assert!(Instant::now() < deadline, "{name} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn custom_objects_go_with_their_owners_and_their_definition() {
    let server = Server::start().await;
    let client = server.admin().await;
    let (resource, boats) = define_boats(client.clone()).await;
    let post = PostParams::default();
    let boat = |name: &str| DynamicObject::new(name, &resource).data(json!({"spec": {"oars": 2}}));
    for (owner, how) in [("kept", DeleteParams::orphan()), ("sunk", DeleteParams::foreground())] {
        let uid = boats.create(&post, &boat(owner)).await.unwrap().uid().unwrap();
        let mut dependent = boat(&format!("of-{owner}"));
        let reference = json!({"apiVersion": "it.example/v1", "kind": "Boat", "name": owner, "uid": uid, "blockOwnerDeletion": true});
        dependent.metadata.owner_references = Some(vec![serde_json::from_value(reference).unwrap()]);
        boats.create(&post, &dependent).await.unwrap();
        boats.delete(owner, &how).await.unwrap();
        sinks(&boats, owner).await;
    }
    sinks(&boats, "of-sunk").await;
    assert_eq!(boats.get("of-kept").await.unwrap().owner_references(), &[]);

    let hold = Patch::Merge(json!({"metadata": {"finalizers": ["it.example/hold"]}}));
    boats.patch("of-kept", &PatchParams::default(), &hold).await.unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    definitions.delete("boats.it.example", &DeleteParams::default()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let (code, message) = loop {
        match boats.create(&post, &boat("late")).await {
            Err(Error::Api(status)) => break (status.code, status.message),
            made => assert!(Instant::now() < deadline, "boats are still built: {made:?}"),
        }
    };
    assert_eq!(code, 403, "{message}");
    assert!(message.contains("create not allowed while custom resource definition is terminating"), "{message}");
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    boats.patch("of-kept", &PatchParams::default(), &release).await.unwrap();
    while definitions.get_opt("boats.it.example").await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "the definition is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let mut server = Server::start().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await, "default");
    let mut last = 0;
    for number in 0..50 {
        let made = maps.create(&PostParams::default(), &config_map(&format!("m{number}"), "1")).await.unwrap();
        last = made.resource_version().unwrap().parse().unwrap();
    }
    server.kill();
    server.launch().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await, "default");
    let listed = maps.list(&ListParams::default().labels("app")).await.unwrap();
    assert_eq!(listed.items.len(), 50);
    let now: u64 = listed.metadata.resource_version.unwrap().parse().unwrap();
    assert!(now >= last, "revisions go back: {last}, then {now}");
}
