//! A server on loopback for tests, which judges who asks as the API does: at each request, by the certificate that
//! the connection showed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::api::answer::{Answer, read_body_up_to, text};
use crate::api::exchange::Peer;
use crate::api::server::{Site, serve};
use crate::base::clock::SystemClock;
use crate::base::service::Scope;
use crate::client::remote::{Endpoint, Remote};
use crate::security::pki::Pki;
use crate::security::tls::{self, ChainVerifier};
use crate::security::x509;

/// Answers requests to join; `None` refuses them.
pub type Join = Box<dyn Fn(&[u8]) -> Option<String> + Send + Sync>;

pub struct TestSite {
    pki: Arc<Pki>,
    clients: ChainVerifier,
    join: Join,
    /// Who asks for `/slow` waits for one of these.
    pub permits: Semaphore,
    pub is_asked_slowly: AtomicBool,
}

impl TestSite {
    /// Listens with the serving certificate of `pki`; tells where.
    pub async fn start(pki: &Arc<Pki>, scope: &Scope, join: Join) -> (Arc<Self>, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let clients = ChainVerifier::new(pki.client_ca.der()).unwrap();
        let (permits, is_asked_slowly) = (Semaphore::new(0), AtomicBool::new(false));
        let site = Arc::new(Self { pki: pki.clone(), clients, join, permits, is_asked_slowly });
        let config = tls::server_config(pki.serving.current().clone(), &[pki.client_ca.der()]).unwrap();
        serve(site.clone(), listener, config, scope);
        (site, endpoint)
    }

    async fn reply(&self, request: Request<Incoming>, peer: &Peer) -> Answer {
        match request.uri().path() {
            "/open" => text(200, "ok"),
            "/v1-skiff/cacerts" => text(200, self.pki.server_ca.pem().to_owned()),
            "/v1-skiff/node" => {
                let body = read_body_up_to(request.into_body(), 1 << 20).await.unwrap();
                (self.join)(&body).map_or_else(|| text(401, "no"), |answer| text(200, answer))
            }
            path => {
                if path == "/slow" {
                    self.is_asked_slowly.store(true, Ordering::SeqCst);
                    self.permits.acquire().await.unwrap().forget();
                }
                match self.clients.accepts(&peer.certificates, now_secs()) {
                    Ok(()) => text(200, x509::facts(&peer.certificates[0]).unwrap().common_name),
                    Err(error) => text(401, error.to_string()),
                }
            }
        }
    }
}

impl Site for TestSite {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Arc<Peer>) -> BoxFuture<'static, Answer> {
        Box::pin(async move { self.reply(request, &peer).await })
    }
}

pub fn now_secs() -> i64 {
    (SystemClock::shared().wall_nanos() / 1_000_000_000) as i64
}

/// Returns when the clock says more than `secs`.
pub async fn after(secs: i64) {
    while now_secs() <= secs {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The code of the answer to `user` at `path`, and its text.
pub async fn get(remote: &Remote, user: &str, path: &str) -> (u16, String) {
    let request = Request::builder().uri(path).body(Default::default()).unwrap();
    let response = remote.send(user, request).await.unwrap();
    let code = response.status().as_u16();
    let body: Bytes = crate::client::remote::read(response.into_body()).await.unwrap();
    (code, String::from_utf8(body.into()).unwrap())
}
