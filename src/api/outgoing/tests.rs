//! Admission webhooks of the tests' own, on loopback with TLS: how often they are connected to, and that no
//! connection of theirs, however it ends, makes a call fail.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::api::loopback::{Loopback, listen};
use crate::api::subresources::connect::Dialer;
use crate::api::tests::{World, world_of};
use crate::object::tree::{Tree, TreePath, json};
use crate::store::Store;

/// What the webhook does with a request.
#[derive(Clone, Copy)]
enum Act {
    Answer,
    /// Without having said that it will.
    AnswerAndClose,
    Close,
    Hang,
}

/// A webhook that allows everything, if it answers.
struct Webhook {
    url: String,
    authority: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    scope: Scope,
}

impl Webhook {
    /// Does with the request of a number, on its connection, what `act` says; both count from 0.
    async fn start(act: impl Fn(usize, usize) -> Act + Send + Sync + Copy + 'static) -> Self {
        let (Loopback { url, authority }, listener, acceptor) = listen().await;
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let scope = Scope::root("webhook");
        let (inner, counts) = (scope.clone(), (connections.clone(), requests.clone()));
        scope.spawn("listen", async move {
            while let Ok((stream, _)) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::SeqCst);
                let (acceptor, requests) = (acceptor.clone(), counts.1.clone());
                inner.spawn("serve", async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let mut stream = BufReader::new(stream);
                    let mut of_connection = 0;
                    while let Some(review) = next(&mut stream).await {
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
        Self { url, authority, connections, requests, scope }
    }

    /// Asked about every ConfigMap.
    async fn configure(&self, world: &World, authority: &str) {
        let authority = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, authority);
        let hooks = json!([{
            "name": "hook.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
            "clientConfig": {"url": format!("{}/check", self.url), "caBundle": authority},
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        }]);
        let api_version = "admissionregistration.k8s.io/v1";
        let kind = "ValidatingWebhookConfiguration";
        let config = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "w"}, "webhooks": hooks});
        let at = format!("/apis/{api_version}/validatingwebhookconfigurations");
        world.send(&format!("DELETE {at}/w"), Tree::Null).await;
        assert_eq!(world.send(&format!("POST {at}"), config).await.0, 201);
    }

    fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

/// The body of the next request.
async fn next(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Tree> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            None if line.trim_end().is_empty() => break,
            _ => (),
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

fn allowed(review: &Tree) -> Vec<u8> {
    let response = json!({"uid": review.text("request.uid"), "allowed": true});
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let answer = answer.to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).into_bytes()
}

struct Direct;

impl Dialer for Direct {
    fn kubelet<'a>(&'a self, _: &'a str, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<BoxWire>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn address<'a>(&'a self, host: &'a str, port: u16, _: bool) -> BoxFuture<'a, io::Result<BoxWire>> {
        Box::pin(async move { Ok(Box::new(tokio::net::TcpStream::connect((host, port)).await?) as BoxWire) })
    }
}

async fn world() -> World {
    world_of(Store::temporary().await, Arc::new(Direct)).await
}

async fn create(world: &World, name: &str) -> (u16, Tree) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    world.send("POST /api/v1/namespaces/default/configmaps", object).await
}

async fn create_twenty(world: &World) {
    for number in 0..20 {
        let (code, told) = create(world, &format!("c{number}")).await;
        assert_eq!(code, 201, "{told}");
    }
}

#[tokio::test]
async fn one_connection_serves_many_calls_until_somebody_else_is_trusted() {
    let (webhook, world) = (Webhook::start(|_, _| Act::Answer).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    create_twenty(&world).await;
    assert_eq!(webhook.counts(), (1, 20));
    webhook.configure(&world, &format!("{}\n", webhook.authority)).await;
    assert_eq!(create(&world, "other").await.0, 201);
    assert_eq!(webhook.counts(), (2, 21));
}

#[tokio::test]
async fn a_webhook_that_hangs_up_after_each_answer_is_connected_to_each_time() {
    let (webhook, world) = (Webhook::start(|_, _| Act::AnswerAndClose).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    create_twenty(&world).await;
    assert_eq!(webhook.counts(), (20, 20));
}

#[tokio::test]
async fn what_is_lost_with_a_kept_connection_is_sent_on_a_new_one() {
    let second_closes = |_, of_connection| if of_connection == 1 { Act::Close } else { Act::Answer };
    let (webhook, world) = (Webhook::start(second_closes).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    create_twenty(&world).await;
    assert_eq!(webhook.counts(), (20, 39));
}

#[tokio::test]
async fn a_new_connection_that_is_hung_up_is_an_error_and_not_tried_again() {
    let (webhook, world) = (Webhook::start(|_, _| Act::Close).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    let (code, told) = create(&world, "a").await;
    let expected = format!("failed to call webhook: Post \"{}/check?timeout=1s\": EOF", webhook.url);
    assert!(code == 500 && told.text("message").ends_with(&expected), "{told}");
    assert_eq!(webhook.counts(), (1, 1));
}

#[tokio::test]
async fn a_webhook_that_hangs_is_waited_for_as_long_as_it_says_and_its_connection_not_used_again() {
    let second_hangs = |number, _| if number == 1 { Act::Hang } else { Act::Answer };
    let (webhook, world) = (Webhook::start(second_hangs).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    assert_eq!(create(&world, "a").await.0, 201);
    let (code, told) = create(&world, "b").await;
    assert!(code == 500 && told.text("message").ends_with(": context deadline exceeded"), "{told}");
    assert_eq!(create(&world, "c").await.0, 201);
    assert_eq!(webhook.counts(), (2, 3));
}

/// Timers see that much time pass; nothing is on its way meanwhile.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed_and_the_scope_does_not_wait_for_them() {
    let (webhook, scope) = (Webhook::start(|_, _| Act::Answer).await, Scope::root("caller"));
    let dial: Dial = Box::new(|_, port| {
        Box::pin(async move { Ok(Box::new(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?) as BoxWire) })
    });
    let authority = webhook.authority.clone();
    let tls: Tls = Box::new(move |_| crate::api::outgoing::trusting(Some(&authority)));
    let pool = Pool::new(scope.clone(), dial, tls);
    let port = webhook.url.rsplit(':').next().unwrap().parse().unwrap();
    let peer = Peer { address: "127.0.0.1".into(), port, name: "localhost".into(), trust: String::new() };
    let ask = async || {
        let request = Request::post("/").header("content-length", 2).body("{}".into()).unwrap();
        drop(http_body_util::BodyExt::collect(pool.send(&peer, request).await.unwrap().into_body()).await.unwrap());
    };
    let idle = || pool.0.known().peers.values().map(|terms| terms.idle.len()).sum::<usize>();
    ask().await;
    assert_eq!(idle(), 1);
    later(IDLE_MAX + SWEEP_EVERY).await;
    assert_eq!(idle(), 0);
    ask().await;
    assert_eq!((webhook.counts(), idle()), ((2, 2), 1));
    later(AGE_MAX + SWEEP_EVERY).await;
    assert!(pool.0.known().peers.is_empty() && !pool.0.known().is_swept);
    ask().await;
    assert!(scope.stop(Duration::from_secs(1)).await);
    assert_eq!(idle(), 0);
}
