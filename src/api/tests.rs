//! Whole requests against the whole server, without a socket.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use http_body_util::{BodyExt, Full};

use super::authn::{Authn, Trust};
use super::exchange::Peer;
use super::subresources::connect::{BoxWire, Dialer};
use super::{Api, Settings, Setup};
use crate::base::clock::ManualClock;
use crate::base::rand::SystemRand;
use crate::base::service::Scope;
use crate::object::codec::protobuf;
use crate::object::schema::builtin;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::Registry;
use crate::security::ca::{Authority, Subject};
use crate::security::tls::certificates;
use crate::security::tokens::{self, TokenKey};
use crate::store::Store;

const NOW: i64 = 1_800_000_000;

/// Nothing can be reached from a test.
struct Nowhere;

impl Dialer for Nowhere {
    fn kubelet<'a>(&'a self, _: &'a str, _: &'a str, _: u16) -> BoxFuture<'a, std::io::Result<BoxWire>> {
        Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
    }

    fn address<'a>(&'a self, _: &'a str, _: u16, _: bool) -> BoxFuture<'a, std::io::Result<BoxWire>> {
        Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
    }
}

pub struct World {
    pub api: Arc<Api>,
    admin: Arc<Peer>,
    pub clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

/// A server with the namespace `default`, and an administrator.
pub async fn world() -> World {
    world_on(Store::temporary().await).await
}

/// The same of a store that others belong to.
pub async fn world_on(store: Store) -> World {
    world_of(store, Arc::new(Nowhere)).await
}

/// The same from which something can be reached.
pub async fn world_of(store: Store, dialer: Arc<dyn Dialer>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let authority = Authority::open(&at("ca"), &at("ca.key"), "ca", NOW).unwrap();
    let admin = authority.issue(&Subject::client("admin", "system:masters"), NOW).unwrap();
    let token_key = Arc::new(TokenKey::open(&at("service.key")).unwrap());
    let issuer = tokens::issuer("cluster.local");
    let clock = ManualClock::starting_at(i128::from(NOW) * 1_000_000_000);
    let trust = Trust {
        client_ca: authority.der(),
        request_header_ca: authority.der(),
        token_key: token_key.clone(),
        issuers: vec![issuer.clone()],
        audiences: vec![issuer.clone()],
    };
    let api = Api::new(Setup {
        proxy_identity: None,
        settings: Settings {
            service_cidrs: vec!["10.43.0.0/16".parse().unwrap()],
            node_ports: 30_000..=32_767,
            advertise_address: "192.0.2.1".parse().unwrap(),
            port: 6443,
            issuer,
            limits: Default::default(),
        },
        registry: Arc::new(Registry::built_in()),
        authn: Authn::new(trust, Arc::new(store.clone()), clock.clone()).unwrap(),
        store,
        token_key,
        dialer,
        scope: Scope::root("test"),
        clock: clock.clone(),
        rand: SystemRand::seeded(1),
    });
    let admin = Arc::new(Peer {
        address: "192.0.2.9:1".parse().unwrap(),
        certificates: certificates(&admin.certificate).unwrap(),
    });
    let world = World { api, admin, clock, _folder: folder };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    world.ok("POST /api/v1/namespaces", namespace).await;
    world
}

impl World {
    pub fn admin(&self) -> Arc<Peer> {
        self.admin.clone()
    }

    /// Sends `METHOD PATH` as the administrator; the answer's code and body.
    pub async fn send(&self, line: &str, body: Tree) -> (u16, Tree) {
        self.send_with(line, body, &[]).await
    }

    pub async fn send_with(&self, line: &str, body: Tree, headers: &[(&str, &str)]) -> (u16, Tree) {
        self.send_from(&self.admin, line, body, headers).await
    }

    /// As somebody without a certificate.
    pub async fn send_as_nobody(&self, line: &str, body: Tree, headers: &[(&str, &str)]) -> (u16, Tree) {
        self.send_from(&Arc::new(Peer { certificates: Vec::new(), ..Peer::clone(&self.admin) }), line, body, headers)
            .await
    }

    async fn send_from(&self, peer: &Arc<Peer>, line: &str, body: Tree, headers: &[(&str, &str)]) -> (u16, Tree) {
        let (method, path) = line.split_once(' ').unwrap();
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let mut request = Request::builder().method(method).uri(path).header("user-agent", "test/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.api.answer(request.body(Full::new(body)).unwrap(), peer).await;
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let text = || Tree::String(String::from_utf8_lossy(&bytes).into_owned());
        (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
    }

    async fn ok(&self, line: &str, body: Tree) -> Tree {
        let (code, body) = self.send(line, body).await;
        assert!((200..300).contains(&code), "{line}: {code} {body}");
        body
    }
}

fn config_map(name: &str) -> Tree {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() {
    let world = world().await;
    let made = world.ok(&format!("POST {MAPS}"), config_map("c")).await;
    assert_eq!((made.text("kind"), made.text("metadata.namespace")), ("ConfigMap", "default"));
    assert_eq!(made.text("metadata.creationTimestamp"), "2027-01-15T08:00:00Z");
    let mut read = world.ok(&format!("GET {MAPS}/c"), Tree::Null).await;
    assert_eq!(read, made);

    read["data"]["a"] = "2".into();
    let changed = world.ok(&format!("PUT {MAPS}/c"), read.clone()).await;
    assert_ne!(changed.text("metadata.resourceVersion"), made.text("metadata.resourceVersion"));
    let (code, conflict) = world.send(&format!("PUT {MAPS}/c"), read).await;
    assert_eq!((code, conflict.text("reason")), (409, "Conflict"));
    let same = world.ok(&format!("PUT {MAPS}/c"), changed.clone()).await;
    assert_eq!(same, changed, "a change of nothing is no write");

    let gone = world.ok(&format!("DELETE {MAPS}/c"), Tree::Null).await;
    assert_eq!((gone.text("status"), gone.text("details.kind")), ("Success", "configmaps"));
    assert_eq!(world.send(&format!("GET {MAPS}/c"), Tree::Null).await.0, 404);
}

#[tokio::test]
async fn a_list_is_read_in_pages_of_one_revision() {
    let world = world().await;
    for name in ["a", "b", "c"] {
        world.ok(&format!("POST {MAPS}"), config_map(name)).await;
    }
    let first = world.ok(&format!("GET {MAPS}?limit=2"), Tree::Null).await;
    assert_eq!((first.items("items").len(), first.int("metadata.remainingItemCount")), (2, Some(1)));
    assert!(!first.items("items")[0].has("kind"));
    world.ok(&format!("DELETE {MAPS}/c"), Tree::Null).await;
    let token = first.text("metadata.continue");
    let second = world.ok(&format!("GET {MAPS}?limit=2&continue={token}"), Tree::Null).await;
    assert_eq!(second.items("items")[0].text("metadata.name"), "c");
    assert_eq!(second.text("metadata.resourceVersion"), first.text("metadata.resourceVersion"));
}

/// Informers of upstream's garbage collector and quotas read metadata alone, as protobuf.
#[tokio::test]
async fn metadata_alone_is_written_as_protobuf() {
    let world = world().await;
    world.ok(&format!("POST {MAPS}"), config_map("c")).await;
    for (path, kind, name) in [
        (MAPS.to_owned(), "PartialObjectMetadataList", "items.0.metadata.name"),
        (format!("{MAPS}/c"), "PartialObjectMetadata", "metadata.name"),
    ] {
        let accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        let request = Request::get(path).header("accept", accept).body(Full::<Bytes>::default()).unwrap();
        let answer = world.api.answer(request, &world.admin).await;
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let envelope = protobuf::Envelope::open(&bytes).unwrap();
        assert_eq!((envelope.api_version, envelope.kind), ("meta.k8s.io/v1", kind));
        let schema = builtin().named(&format!("apimachinery.pkg.apis.meta.v1.{kind}")).unwrap();
        let read: serde_json::Value = serde_json::from_str(&envelope.decode(schema).unwrap().to_string()).unwrap();
        let found = name.split('.').fold(&read, |at, step| step.parse::<usize>().map_or(&at[step], |index| &at[index]));
        assert_eq!(found, "c", "{read}");
        assert!(read.get("data").is_none());
    }
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let world = world().await;
    let mut map = config_map("c");
    map["metadata"]["finalizers"] = json!(["a.b/c"]);
    world.ok(&format!("POST {MAPS}"), map).await;
    let mut held = world.ok(&format!("DELETE {MAPS}/c"), Tree::Null).await;
    assert!(held.has("metadata.deletionTimestamp"));
    held.unset("metadata.finalizers");
    world.ok(&format!("PUT {MAPS}/c"), held).await;
    assert_eq!(world.send(&format!("GET {MAPS}/c"), Tree::Null).await.0, 404);
}

#[tokio::test]
async fn services_get_addresses_and_pods_their_account() {
    let world = world().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let made = world.ok("POST /api/v1/namespaces/default/services", service).await;
    assert!(made.text("spec.clusterIP").starts_with("10.43."), "{made}");
    assert!(made.items("spec.ports")[0].int("nodePort").unwrap() >= 30_000);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    world.ok("POST /api/v1/namespaces/default/serviceaccounts", account).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-"},
        "spec": {"containers": [{"name": "c", "image": "x"}]}});
    let made = world.ok("POST /api/v1/namespaces/default/pods", pod).await;
    assert_eq!((made.text("spec.serviceAccountName"), made.text("metadata.name").len()), ("default", 7));
    assert_eq!(made.items("spec.tolerations").len(), 2);
}

#[tokio::test]
async fn a_watch_tells_what_enters_and_leaves_its_selection() {
    use futures_util::StreamExt;
    let world = world().await;
    let request = Request::get(format!("{MAPS}?watch=1&labelSelector=n")).body(Full::<Bytes>::default()).unwrap();
    let answer = world.api.answer(request, &world.admin).await;
    let mut frames = http_body_util::BodyStream::new(answer.into_body());
    let mut map = config_map("c");
    map["metadata"]["labels"] = json!({"n": "1"});
    let mut made = world.ok(&format!("POST {MAPS}"), map).await;
    made["metadata"]["labels"] = json!({});
    world.ok(&format!("PUT {MAPS}/c"), made).await;
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let frame = frames.next().await.unwrap().unwrap().into_data().unwrap();
        kinds.push(serde_json::from_slice::<Tree>(&frame).unwrap().text("type").to_owned());
    }
    assert_eq!(kinds, ["ADDED", "DELETED"]);
}

#[tokio::test]
async fn strangers_see_nothing_that_no_role_shows() {
    let world = world().await;
    let stranger = Arc::new(Peer { certificates: Vec::new(), ..Peer::clone(&world.admin) });
    let ask = |path: &'static str| {
        let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
        let (api, stranger) = (world.api.clone(), stranger.clone());
        async move { api.answer(request, &stranger).await.status().as_u16() }
    };
    assert_eq!(ask("/api/v1/pods").await, 403);
    assert_eq!(ask("/nope").await, 403);
}

#[tokio::test]
async fn what_is_not_there_is_said_as_upstream_says_it() {
    let world = world().await;
    let (code, body) = world.send("GET /apis/apps/v1/gadgets", Tree::Null).await;
    assert_eq!((code, body.text("message")), (404, "the server could not find the requested resource"));
    assert_eq!(world.send("GET /apis/nope.example/v1", Tree::Null).await.1, json!("404 page not found\n"));
    assert_eq!(world.send(&format!("PATCH {MAPS}"), json!({})).await.0, 405);
    let (code, body) = world.send(&format!("POST {MAPS}"), json!({"kind": "Secret", "apiVersion": "v1"})).await;
    assert_eq!(code, 400);
    assert!(body.text("message").starts_with("Secret in version \"v1\" cannot be handled as a ConfigMap"), "{body}");
}
