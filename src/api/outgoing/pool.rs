//! Connections to servers outside of this process, kept for the next request.
//!
//! Always HTTP/1.1, as upstream calls admission webhooks: all requests on one HTTP/2 connection would be answered by
//! the same one of a service's pods. Connections are kept by where they lead and by what makes us believe in who is
//! there: after a change of either, the old ones are not used again. What cannot be sent on a kept connection,
//! because the other side closed it in the meantime, is sent on a new one.

mod kept;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::Unanswered;
use crate::api::body::{self, AnswerBody};
use crate::api::subresources::connect::BoxWire;
use crate::base::address;
use crate::base::error::Chain;
use crate::base::service::Scope;

use kept::Back;
pub use kept::Kept;

/// How long a connection waits for its next request.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// What cannot be sent twice goes only where something was answered just now: servers that hang up on idle clients
/// wait longer than this, so that none does while the request is on its way.
const JUST_USED: Duration = Duration::from_secs(1);
/// After this, names are looked up, authorities read and certificates checked anew.
const AGE_MAX: Duration = Duration::from_secs(300);
/// A connection whose last request is not read to its end by then is not used again.
const SETTLE_MAX: Duration = Duration::from_millis(10);
const SWEEP_EVERY: Duration = Duration::from_secs(10);
const IDLE_PER_PEER_MAX: usize = 25;
const IDLE_MAX_IN_ALL: usize = 256;
const PEERS_MAX: usize = 256;

/// Where a connection leads, and who has to be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    pub address: String,
    pub port: u16,
    /// What its certificate has to be for.
    pub name: String,
    /// What the pool makes its TLS configuration of.
    pub trust: String,
}

impl Peer {
    /// Address and port, as they stand in a URL.
    pub fn authority(&self) -> String {
        address::join(&self.address, self.port)
    }
}

/// Opens a connection to an address.
pub type Dial = Box<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<BoxWire>> + Send + Sync>;
/// How to speak to those who are trusted for that reason.
pub type Tls = Box<dyn Fn(&str) -> Result<ClientConfig, String> + Send + Sync>;

/// Clones share the connections.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    scope: Scope,
    dial: Dial,
    tls: Tls,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    peers: HashMap<Peer, Terms>,
    is_swept: bool,
}

/// What holds for a peer for a while.
struct Terms {
    tls: Arc<ClientConfig>,
    since: Instant,
    /// The last used one last.
    idle: Vec<Line>,
}

/// A connection.
struct Line {
    sender: SendRequest<AnswerBody>,
    /// Of the terms that it was opened by.
    since: Instant,
    used: Instant,
}

impl Pool {
    /// Its connections end with `scope`, when what was asked on them is answered.
    pub fn new(scope: Scope, dial: Dial, tls: Tls) -> Self {
        Self(Arc::new(Shared { scope, dial, tls, known: Mutex::default() }))
    }

    /// Sends what may arrive twice.
    pub async fn send(&self, peer: &Peer, request: Request<Bytes>) -> Result<Response<Kept>, Unanswered> {
        let again = request.clone();
        self.deliver(peer, request.map(body::full), Some(again)).await
    }

    /// Sends what must not arrive twice.
    pub async fn send_once(&self, peer: &Peer, request: Request<AnswerBody>) -> Result<Response<Kept>, Unanswered> {
        self.deliver(peer, request, None).await
    }

    async fn deliver(
        &self,
        peer: &Peer,
        mut request: Request<AnswerBody>,
        again: Option<Request<Bytes>>,
    ) -> Result<Response<Kept>, Unanswered> {
        let idle_max = if again.is_some() { IDLE_MAX } else { JUST_USED };
        while let Some(mut line) = self.idle(peer, idle_max).await {
            let mut failed = match line.sender.try_send_request(request).await {
                Ok(response) => return Ok(self.kept(peer, response, line)),
                Err(failed) => failed,
            };
            if let Some(unsent) = failed.take_message() {
                request = unsent;
                continue;
            }
            match again.filter(|_| is_hung_up(failed.error())) {
                Some(copy) => request = copy.map(body::full),
                None => return Err(unanswered(failed.error())),
            }
            break;
        }
        let mut line = self.open(peer).await?;
        let response = line.sender.send_request(request).await.map_err(|error| unanswered(&error))?;
        Ok(self.kept(peer, response, line))
    }

    /// A connection that was used not longer ago than `idle_max`, and can be again.
    async fn idle(&self, peer: &Peer, idle_max: Duration) -> Option<Line> {
        loop {
            let mut line = {
                let mut known = self.0.known();
                let terms = known.peers.get_mut(peer)?;
                if terms.since.elapsed() > AGE_MAX || terms.idle.last()?.used.elapsed() > idle_max {
                    return None;
                }
                terms.idle.pop()?
            };
            if matches!(timeout(SETTLE_MAX, line.sender.ready()).await, Ok(Ok(()))) {
                return Some(line);
            }
        }
    }

    async fn open(&self, peer: &Peer) -> Result<Line, Unanswered> {
        let Peer { address, port, name, .. } = peer;
        let (tls, since) = self.terms(peer)?;
        let wire = (self.0.dial)(address.clone(), *port).await;
        let wire = wire.map_err(|error| format!("dial tcp {address}:{port}: {error}"))?;
        let name = ServerName::try_from(name.clone()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(tls).connect(name, wire).await.map_err(|error| format!("tls: {error}"))?;
        let sender = open(&self.0.scope, Box::new(stream)).await.map_err(|error| unanswered(&error))?;
        Ok(Line { sender, since, used: since })
    }

    fn terms(&self, peer: &Peer) -> Result<(Arc<ClientConfig>, Instant), String> {
        if let Some(terms) = self.0.known().peers.get(peer).filter(|terms| terms.since.elapsed() <= AGE_MAX) {
            return Ok((terms.tls.clone(), terms.since));
        }
        let mut tls = (self.0.tls)(&peer.trust)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (tls, since) = (Arc::new(tls), Instant::now());
        let mut known = self.0.known();
        if known.peers.len() >= PEERS_MAX {
            let oldest = known.peers.iter().min_by_key(|(_, terms)| terms.since).map(|(peer, _)| peer.clone());
            oldest.map(|oldest| known.peers.remove(&oldest));
        }
        known.peers.insert(peer.clone(), Terms { tls: tls.clone(), since, idle: Vec::new() });
        if !std::mem::replace(&mut known.is_swept, true) {
            let shared = self.0.clone();
            self.0.scope.spawn("outgoing", async move { shared.sweep().await });
        }
        Ok((tls, since))
    }

    fn kept(&self, peer: &Peer, response: Response<Incoming>, line: Line) -> Response<Kept> {
        let is_over = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let back = (!is_over).then(|| Back { pool: self.0.clone(), peer: peer.clone(), line });
        response.map(|body| Kept::new(body, back))
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes back a connection whose answer has been read.
    fn keep(&self, peer: &Peer, line: Line) {
        let mut known = self.known();
        let in_all: usize = known.peers.values().map(|terms| terms.idle.len()).sum();
        let Some(terms) = known.peers.get_mut(peer).filter(|terms| terms.since == line.since) else { return };
        if terms.idle.len() < IDLE_PER_PEER_MAX && in_all < IDLE_MAX_IN_ALL && !self.scope.is_stopping() {
            terms.idle.push(Line { used: Instant::now(), ..line });
        }
    }

    /// Closes what was not used for a while, until there is nothing left, and everything when the scope stops.
    async fn sweep(&self) {
        loop {
            tokio::select! {
                () = sleep(SWEEP_EVERY) => (),
                () = self.scope.stopping() => return self.known().peers.clear(),
            }
            let mut known = self.known();
            known.peers.retain(|_, terms| terms.since.elapsed() <= AGE_MAX);
            known.peers.values_mut().for_each(|terms| terms.idle.retain(|line| line.used.elapsed() <= IDLE_MAX));
            known.is_swept = !known.peers.is_empty();
            if !known.is_swept {
                return;
            }
        }
    }
}

/// Makes a connection one for requests. A task of `scope` works for it until its sender is gone and what it was
/// sent is answered.
pub async fn open(scope: &Scope, wire: BoxWire) -> hyper::Result<SendRequest<AnswerBody>> {
    let (sender, connection) = handshake(TokioIo::new(wire)).await?;
    scope.spawn("outgoing", async move {
        // How it ends shows in the answer, or in there being none.
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to another server ended");
        }
    });
    Ok(sender)
}

/// Whether the other side closed the connection before it answered.
fn is_hung_up(error: &hyper::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    let of_io = |io: &io::Error| matches!(io.kind(), BrokenPipe | ConnectionReset | UnexpectedEof);
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref().is_some_and(of_io) {
            return true;
        }
        source = cause.source();
    }
    error.is_incomplete_message() || error.is_canceled()
}

fn unanswered(error: &hyper::Error) -> Unanswered {
    match is_hung_up(error) {
        true if error.is_incomplete_message() => Unanswered::Reset("EOF".into()),
        true => Unanswered::Reset(Chain(error).to_string()),
        false => Unanswered::Other(Chain(error).to_string()),
    }
}

#[cfg(test)]
#[path = "rig.rs"]
mod rig;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
