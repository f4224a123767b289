//! The socket: TLS connections, each served until its client leaves or the server drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::{Answer, Lasts};
use super::body;
use super::exchange::Peer;
use super::gather::Gather;
use super::pipeline::Api;
use super::streams::{self, Streams};
use crate::base::service::Scope;
use crate::security::pki::SERVER_USER;

const CONNECTIONS_MAX: usize = 10_000;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const HEADERS_MAX: Duration = Duration::from_secs(32);
const HTTP2_STREAMS_MAX: u32 = 250;
/// Tokens with many groups are long; what is longer still gets 431.
const HEADERS_BYTES_MAX: u32 = 256 * 1024;
/// How long connections are given to end when the server stops. Whoever still waits for an answer then
/// has until the time limit of requests.
const DRAIN_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whatever answers requests.
pub trait Site: Send + Sync + 'static {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Arc<Peer>) -> BoxFuture<'static, Answer>;
    /// Nobody new comes in: what goes on for ever ends.
    fn end_watches(&self) {}
    /// How many wait for an answer.
    fn in_flight(&self) -> i64 {
        0
    }
    /// How long they may.
    fn time_limit(&self) -> Duration {
        Duration::ZERO
    }
    fn handshake_failed(&self) {}
    /// Whether a server of the cluster is at the other end. It is heard until everybody else has an answer:
    /// those may wait for what it has to say.
    fn is_peer(&self, _certificates: &[CertificateDer<'static>]) -> bool {
        false
    }
}

impl Site for Api {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Arc<Peer>) -> BoxFuture<'static, Answer> {
        Box::pin(async move { Api::answer(&self, request, &peer).await })
    }

    fn end_watches(&self) {
        self.store.end_watches();
    }

    fn in_flight(&self) -> i64 {
        self.flow.in_flight()
    }

    fn time_limit(&self) -> Duration {
        self.settings.limits.request
    }

    fn is_peer(&self, certificates: &[CertificateDer<'static>]) -> bool {
        let user = self.authn.authenticate(&HeaderMap::new(), certificates, "");
        user.is_ok_and(|user| user.name == SERVER_USER)
    }

    fn handshake_failed(&self) {
        self.metrics.handshake_errors.with(&[]).add(1);
    }
}

/// Serves `api` on `listener` until the scope stops. Then nobody new comes in, watches end, so that
/// their clients go on elsewhere, requests are answered, and at last peers are heard no more.
pub fn serve<S: Site>(api: Arc<S>, listener: TcpListener, tls: Arc<ServerConfig>, scope: &Scope) {
    // Not inside the scope: they end one after the other.
    let (connections, peers) = (Scope::root("connections"), Scope::root("peers"));
    let scope = scope.clone();
    scope.clone().spawn("listener", async move {
        let acceptor = TlsAcceptor::from(tls);
        let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(seat) = seats.clone().acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = scope.stopping() => break,
            };
            match accepted {
                Ok((stream, address)) => {
                    let (api, acceptor) = (api.clone(), acceptor.clone());
                    let scopes = (connections.clone(), peers.clone());
                    connections.spawn("handshake", async move {
                        accept(api, acceptor, stream, address, scopes, seat).await;
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: give others time to close some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        api.end_watches();
        if !connections.stop(DRAIN_MAX).await {
            let answered = async {
                while api.in_flight() > 0 {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            let left = api.time_limit().saturating_sub(DRAIN_MAX);
            if tokio::time::timeout(left, answered).await.is_err() {
                tracing::warn!("requests were still waiting for their answers when the server stopped");
            }
        }
        peers.stop(DRAIN_MAX).await;
    });
}

/// Finds out who is there, and serves the connection among its like.
async fn accept<S: Site>(
    api: Arc<S>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    (clients, peers): (Scope, Scope),
    seat: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)) => accepted,
        () = clients.stopping() => return, // nothing was asked yet
    };
    let stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            api.handshake_failed();
            return tracing::debug!(%address, %error, "TLS handshake failed");
        }
        Err(_) => return tracing::debug!(%address, "TLS handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates: Vec<_> = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let scope = if api.is_peer(&certificates) { peers } else { clients };
    let peer = Arc::new(Peer { address, certificates });
    scope.clone().spawn("connection", async move {
        serve_connection(api, stream, peer, scope).await;
        drop(seat);
    });
}

async fn serve_connection<S: Site>(api: Arc<S>, stream: TlsStream<TcpStream>, peer: Arc<Peer>, scope: Scope) {
    let address = peer.address;
    // Each request that is under way, and each answer that is still being made, has one more of it. What lasts has none:
    // it writes when the connection runs.
    let under_way = Arc::new(());
    let one_more = under_way.clone();
    let service = service_fn(move |request| {
        let (api, peer, one_more) = (api.clone(), peer.clone(), one_more.clone());
        // In a box, because it is large and moved on several times before it runs.
        Box::pin(async move {
            let mut answer = S::answer(api, request, peer).await;
            if answer.extensions_mut().remove::<Lasts>().is_some() {
                streams::last();
                return Ok(answer);
            }
            Ok::<_, std::convert::Infallible>(answer.map(|body| body::holding(body, one_more)))
        })
    });
    let streams = Streams::new(scope.clone());
    let has_others = || Arc::strong_count(&under_way) > 2;
    let mut builder = auto::Builder::new(streams.clone());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(Duration::from_secs(30));
    let gather = Gather::new(stream);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(gather.clone()), service);
    let served = async {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = scope.stopping() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = gather.drive(streams.run(served), has_others).await {
        tracing::debug!(%address, %error, "connection ended");
    }
}
