//! What stands in the audit log after requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::options::{Mode, Options, Truncate};
use super::policy::Policy;
use super::sink::{Sink, Writer};
use super::*;
use crate::api::tests::{World, world};
use crate::base::service::Scope;
use crate::object::tree::TreePath;

/// Keeps events in memory.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<Tree>>>);

impl Writer for Shelf {
    fn name(&self) -> &'static str {
        "shelf"
    }

    async fn write(&mut self, batch: Vec<Arc<[u8]>>) -> Result<(), String> {
        self.0.lock().unwrap().extend(batch.iter().map(|event| serde_json::from_slice::<Tree>(event).unwrap()));
        Ok(())
    }
}

/// A writer that never comes back.
struct Stuck;

impl Writer for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    async fn write(&mut self, _: Vec<Arc<[u8]>>) -> Result<(), String> {
        std::future::pending().await
    }
}

async fn audited(rules: &str, event_bytes_max: Option<usize>) -> (World, Shelf, Scope) {
    let truncate = event_bytes_max.map(|event_bytes| Truncate { event_bytes, batch_bytes: 10 * 1024 * 1024 });
    let shelf = Shelf::default();
    let (world, scope) = written_by(shelf.clone(), rules, Options { truncate, ..Options::AT_ONCE }).await;
    (world, shelf, scope)
}

async fn written_by(writer: impl Writer, rules: &str, options: Options) -> (World, Scope) {
    let world = world().await;
    let scope = Scope::root("test");
    let mut sink = Sink::new(world.api.metrics.clone());
    sink.add(writer, options, &scope);
    let policy = Policy::parse(&format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}")).unwrap();
    let audit = Audit::new(policy, sink, world.clock.clone());
    assert!(world.api.audit.set(audit).is_ok());
    (world, scope)
}

/// Everything written when the log is shut.
async fn all(shelf: Shelf, scope: Scope) -> Vec<Tree> {
    assert!(scope.stop(Duration::from_secs(5)).await);
    std::mem::take(&mut *shelf.0.lock().unwrap())
}

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn secret() -> Tree {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter2"}})
}

#[tokio::test]
async fn metadata_says_who_did_what_and_nothing_of_what_is_in_it() {
    let (world, shelf, scope) = audited("- level: Metadata", None).await;
    world.send_with(&format!("POST {SECRETS}?fieldManager=me"), secret(), &[("audit-id", "id-1")]).await;
    let events = all(shelf, scope).await;
    let stages: Vec<&str> = events.iter().map(|event| event.text("stage")).collect();
    assert_eq!(stages, ["RequestReceived", "ResponseComplete"]);
    assert_eq!(
        events[1],
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "id-1",
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/default/secrets?fieldManager=me",
            "verb": "create", "sourceIPs": ["192.0.2.9"], "userAgent": "test/1",
            "user": {
                "username": "admin", "groups": ["system:masters", "system:authenticated"],
                "extra": events[1].at("user.extra").unwrap(),
            },
            "objectRef": {"resource": "secrets", "namespace": "default", "name": "s", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 201},
            "requestReceivedTimestamp": "2027-01-15T08:00:00.000000Z", "stageTimestamp": "2027-01-15T08:00:00.000000Z",
            "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        })
    );
    assert!(!format!("{events:?}").contains("hunter2"));
}

#[tokio::test]
async fn objects_are_there_if_wanted_and_without_managed_fields_if_not() {
    let rules = "
- {level: RequestResponse, verbs: [create, get, list], omitManagedFields: true, omitStages: [RequestReceived]}
- {level: Request, omitStages: [RequestReceived]}";
    let (world, shelf, scope) = audited(rules, None).await;
    world.send(&format!("POST {SECRETS}"), secret()).await;
    world.send_with(&format!("GET {SECRETS}/s"), Tree::Null, &[("accept", "application/yaml")]).await;
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let merge = ("content-type", "application/merge-patch+json");
    world.send_with(&format!("PATCH {SECRETS}/s"), patch.clone(), &[merge]).await;
    world.send(&format!("GET {SECRETS}"), Tree::Null).await;
    world
        .send(&format!("DELETE {SECRETS}/s"), json!({"kind": "DeleteOptions", "propagationPolicy": "Background"}))
        .await;
    world.send(&format!("GET {SECRETS}/s"), Tree::Null).await;
    let events = all(shelf, scope).await;
    let [created, read, patched, listed, deleted, missed] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!(created.text("requestObject.stringData.password"), "hunter2");
    assert_eq!(created.text("responseObject.data.password"), "aHVudGVyMg==");
    assert!(!created.has("responseObject.metadata.managedFields") && created.has("responseObject.metadata.uid"));
    assert_eq!(read.text("responseObject.kind"), "Secret");
    assert_eq!(patched.at("requestObject"), Some(&patch));
    assert!(!patched.has("responseObject"));
    assert_eq!(listed.items("responseObject.items").len(), 1);
    assert!(!listed.items("responseObject.items")[0].has("metadata.managedFields"));
    assert_eq!(deleted.text("requestObject.propagationPolicy"), "Background");
    assert_eq!(deleted.text("responseStatus.status"), "Success");
    assert_eq!((missed.text("responseStatus.reason"), missed.int("responseStatus.code")), ("NotFound", Some(404)));
    assert_eq!(missed.text("responseObject.message"), "secrets \"s\" not found");
}

#[tokio::test]
async fn a_watch_says_when_it_starts_and_when_it_is_over() {
    let (world, shelf, scope) = audited("- {level: Metadata, verbs: [watch]}", None).await;
    let request = http::Request::builder().uri("/api/v1/secrets?watch=1");
    let request = request.body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
    let answer = world.api.answer(request, &world.admin()).await;
    world.clock.advance(Duration::from_secs(9));
    drop(answer);
    let events = all(shelf, scope).await;
    let stages: Vec<(&str, &str)> =
        events.iter().map(|event| (event.text("stage"), event.text("stageTimestamp"))).collect();
    assert_eq!(
        stages,
        [
            ("RequestReceived", "2027-01-15T08:00:00.000000Z"),
            ("ResponseStarted", "2027-01-15T08:00:00.000000Z"),
            ("ResponseComplete", "2027-01-15T08:00:09.000000Z"),
        ]
    );
    assert_eq!(events[2].int("responseStatus.code"), Some(200));
}

#[tokio::test]
async fn strangers_and_those_who_act_as_others_are_told() {
    let rules = "- {level: Metadata, omitStages: [RequestReceived]}";
    let (world, shelf, scope) = audited(rules, None).await;
    let stranger = Arc::new(crate::api::exchange::Peer { certificates: Vec::new(), ..Clone::clone(&*world.admin()) });
    for (name, value) in [("authorization", "Bearer garbage"), ("x-none", "")] {
        let request = http::Request::builder().uri("/api/v1/secrets").header(name, value);
        let request = request.body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
        world.api.answer(request, &stranger).await;
    }
    world.send_with(&format!("GET {SECRETS}"), Tree::Null, &[("impersonate-user", "ann")]).await;
    let events = all(shelf, scope).await;
    let [garbage, anonymous, acting] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!((garbage.text("stage"), garbage.at("user")), ("ResponseStarted", Some(&json!({}))));
    assert_eq!(garbage.int("responseStatus.code"), Some(401));
    assert_eq!(anonymous.text("user.username"), "system:anonymous");
    assert_eq!(anonymous.at("annotations.authorization\u{2e}k8s"), None);
    assert_eq!(anonymous["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(acting.text("user.username"), "admin");
    assert_eq!(acting.text("impersonatedUser.username"), "ann");
    assert_eq!(acting.text("authenticationMetadata.impersonationConstraint"), "impersonate:user-info");
}

#[tokio::test]
async fn what_is_too_large_loses_its_objects() {
    let (world, shelf, scope) = audited("- {level: Request, verbs: [create]}", Some(2_000)).await;
    let mut large = secret();
    large["stringData"]["more"] = "x".repeat(4_000).into();
    world.send(&format!("POST {SECRETS}"), large).await;
    let events = all(shelf, scope).await;
    assert_eq!(events[1]["annotations"]["audit.k8s.io/truncated"], "true");
    assert!(!events[1].has("requestObject"));
}

#[tokio::test]
async fn a_list_of_everything_is_not_recorded_whole() {
    let (world, shelf, scope) = audited("- {level: RequestResponse, verbs: [list]}", None).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    for name in 0..9 {
        let data = json!({"a": "x".repeat(1_000_000)});
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{name}")}, "data": data});
        assert_eq!(world.send(&format!("POST {maps}"), map).await.0, 201);
    }
    world.send(&format!("GET {maps}?limit=1"), Tree::Null).await;
    world.send(&format!("GET {maps}"), Tree::Null).await;
    let events = all(shelf, scope).await;
    assert!(events[1].has("responseObject"));
    assert!(!events[3].has("responseObject"));
    assert_eq!(events[3]["annotations"]["audit.k8s.io/truncated"], "true");
}

#[tokio::test]
async fn a_writer_that_hangs_holds_nobody_up() {
    let (world, _scope) = written_by(Stuck, "- level: Metadata", Options::AT_ONCE).await;
    for _ in 0..6_000 {
        let (code, _) = world.send("GET /version", Tree::Null).await;
        assert_eq!(code, 200);
    }
    let page = world.api.metrics.render();
    assert!(page.contains("apiserver_audit_error_total{plugin=\"buffered\"}"), "{page}");
}

/// A writer whose disk is full.
struct Full;

impl Writer for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    async fn write(&mut self, _: Vec<Arc<[u8]>>) -> Result<(), String> {
        Err("no space left on device".into())
    }
}

#[tokio::test]
async fn who_blocks_is_answered_when_all_of_it_is_written() {
    let shelf = Shelf::default();
    let (world, _scope) = written_by(shelf.clone(), "- level: Metadata", Options::BLOCKING).await;
    for seen in 1..4 {
        assert_eq!(world.send("GET /version", Tree::Null).await.0, 200);
        let events = shelf.0.lock().unwrap();
        let stages: Vec<&str> = events.iter().rev().take(2).map(|event| event.text("stage")).collect();
        assert_eq!((events.len(), stages), (2 * seen, vec!["ResponseComplete", "RequestReceived"]));
    }
}

#[tokio::test]
async fn only_a_strict_log_refuses_what_it_cannot_record() {
    let (world, _scope) = written_by(Full, "- level: Metadata", Options::BLOCKING).await;
    assert_eq!(world.send("GET /version", Tree::Null).await.0, 200);
    let strict = Options { mode: Mode::BlockingStrict, ..Options::BLOCKING };
    let (world, _scope) = written_by(Full, "- level: Metadata", strict).await;
    let (code, told) = world.send("GET /version", Tree::Null).await;
    assert_eq!(code, 500);
    assert!(told.text("message").contains("failed to store audit event"), "{told}");
    let (world, _scope) = written_by(Full, "- {level: Metadata, omitStages: [RequestReceived]}", strict).await;
    assert_eq!(world.send("GET /version", Tree::Null).await.0, 200, "it is done by then");
}
