//! An admission webhook of the tests' own, on loopback with TLS, and a world that reaches it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::api::loopback::{Loopback, listen};
use crate::api::subresources::connect::{BoxWire, Dialer};
use crate::api::tests::{World, world_of};
use crate::base::service::Scope;
use crate::object::tree::{Tree, TreePath, json};
use crate::store::Store;

/// What the webhook does with a request.
#[derive(Clone, Copy)]
pub enum Act {
    Answer,
    /// Without having said that it will.
    AnswerAndClose,
    Close,
    Hang,
}

/// A webhook that allows everything, if it answers.
pub struct Webhook {
    pub url: String,
    pub authority: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    /// The Host headers of all requests.
    hosts: Arc<Mutex<Vec<String>>>,
    scope: Scope,
}

impl Webhook {
    /// Does with the request of a number, on its connection, what `act` says; both count from 0.
    pub async fn start(act: impl Fn(usize, usize) -> Act + Send + Sync + Copy + 'static) -> Self {
        let (Loopback { url, authority }, listener, acceptor) = listen().await;
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let scope = Scope::root("webhook");
        let (inner, counts) = (scope.clone(), (connections.clone(), requests.clone()));
        let hosts = Arc::new(Mutex::new(Vec::new()));
        let told = hosts.clone();
        scope.spawn("listen", async move {
            while let Ok((stream, _)) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::SeqCst);
                let (acceptor, requests, told) = (acceptor.clone(), counts.1.clone(), told.clone());
                inner.spawn("serve", async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let mut stream = BufReader::new(stream);
                    let mut of_connection = 0;
                    while let Some((host, review)) = next(&mut stream).await {
                        told.lock().unwrap().push(host);
                        let act = act(requests.fetch_add(1, Ordering::SeqCst), of_connection);
                        of_connection += 1;
                        match act {
                            Act::Hang => std::future::pending().await,
                            Act::Close => break,
                            Act::Answer | Act::AnswerAndClose => stream.write_all(&allowed(&review)).await.unwrap(),
                        }
                        if matches!(act, Act::AnswerAndClose) {
                            break;
                        }
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { url, authority, connections, requests, hosts, scope }
    }

    /// Asked about every ConfigMap.
    pub async fn configure(&self, world: &World, authority: &str) {
        self.configure_at(world, json!({"url": format!("{}/check", self.url)}), authority).await;
    }

    pub async fn configure_at(&self, world: &World, mut place: Tree, authority: &str) {
        place.set("caBundle", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, authority));
        let hooks = json!([{
            "name": "hook.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
            "clientConfig": place,
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        }]);
        let api_version = "admissionregistration.k8s.io/v1";
        let kind = "ValidatingWebhookConfiguration";
        let config = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "w"}, "webhooks": hooks});
        let at = format!("/apis/{api_version}/validatingwebhookconfigurations");
        world.send(&format!("DELETE {at}/w"), Tree::Null).await;
        assert_eq!(world.send(&format!("POST {at}"), config).await.0, 201);
    }

    /// Puts it behind the port 8443 of the service `hook`.
    pub async fn serve_behind_a_service(&self, world: &World) {
        let spec = json!({"clusterIP": "None", "ports": [{"port": 8443}]});
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": spec});
        assert_eq!(world.send("POST /api/v1/namespaces/default/services", service).await.0, 201);
        let metadata = json!({"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}});
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.7"]}], "ports": [{"name": "", "port": self.port()}],
        });
        let at = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        assert_eq!(world.send(&format!("POST {at}"), slice).await.0, 201);
    }

    /// Makes it the server of a group, which it then is asked about.
    pub async fn serve_a_group(&self, world: &World) {
        self.serve_behind_a_service(world).await;
        let spec = json!({
            "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 1,
            "caBundle": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &self.authority),
            "service": {"namespace": "default", "name": "hook", "port": 8443},
        });
        let (kind, metadata) = ("APIService", json!({"name": "v1.wardle.example.com"}));
        let api_version = "apiregistration.k8s.io/v1";
        let service = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec});
        assert_eq!(world.send(&format!("POST /apis/{api_version}/apiservices"), service).await.0, 201);
        crate::api::aggregate::start(&world.api, &world.api.scope);
    }

    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn hosts(&self) -> Vec<String> {
        self.hosts.lock().unwrap().clone()
    }

    pub fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

/// The Host header and the body of the next request.
async fn next(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<(String, Tree)> {
    let (mut length, mut host) = (0, String::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("host", value)) => host = value.to_owned(),
            None if line.trim_end().is_empty() => break,
            _ => (),
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = if body.is_empty() { Tree::Null } else { serde_json::from_slice(&body).ok()? };
    Some((host, body))
}

fn allowed(review: &Tree) -> Vec<u8> {
    let response = json!({"uid": review.text("request.uid"), "allowed": true});
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let answer = answer.to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).into_bytes()
}

/// Every address is on loopback.
struct Direct;

impl Dialer for Direct {
    fn kubelet<'a>(&'a self, _: &'a str, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<BoxWire>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn address<'a>(&'a self, _: &'a str, port: u16, _: bool) -> BoxFuture<'a, io::Result<BoxWire>> {
        Box::pin(async move { Ok(Box::new(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?) as BoxWire) })
    }
}

pub async fn world() -> World {
    world_of(Store::temporary().await, Arc::new(Direct)).await
}

pub async fn create(world: &World, name: &str) -> (u16, Tree) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    world.send("POST /api/v1/namespaces/default/configmaps", object).await
}

pub async fn create_twenty(world: &World) {
    for number in 0..20 {
        let (code, told) = create(world, &format!("c{number}")).await;
        assert_eq!(code, 201, "{told}");
    }
}
