//! Questions from server to server: over the port that everything uses, as each other's peers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;

use super::{ADDRESS, Book, FROM, HELLO, MESSAGES, Member, RENEWALS, STATE, VERSION};
use crate::client::remote::{Endpoint, Remote, Undelivered, read};
use crate::object::{Reason, Status};
use crate::security::pki::Pki;
use crate::security::{SecurityError, tls};
use crate::store::{Ask, Network, NetworkError};

/// As a server, and as somebody who asks for others.
const SERVER: &str = "server";
pub const PROXY: &str = "proxy";
const MESSAGES_TIMEOUT: Duration = Duration::from_secs(3);
const STATE_TIMEOUT: Duration = Duration::from_secs(30);
const OTHER_TIMEOUT: Duration = Duration::from_secs(15);

/// Clones share the connections.
#[derive(Clone)]
pub struct Carrier(Arc<Inner>);

struct Inner {
    book: Arc<Book>,
    own: OnceLock<Own>,
    remotes: Mutex<HashMap<String, Arc<Remote>>>,
}

struct Own {
    member: Member,
    server: rustls::ClientConfig,
    proxy: rustls::ClientConfig,
}

impl Carrier {
    pub fn new(book: Arc<Book>) -> Self {
        Self(Arc::new(Inner { book, own: OnceLock::new(), remotes: Mutex::default() }))
    }

    pub fn book(&self) -> &Book {
        &self.0.book
    }

    /// Until this is called, nobody is there to be asked.
    pub fn open(&self, member: Member, pki: &Pki) -> Result<(), SecurityError> {
        let authority = pki.server_ca.pem();
        let server = tls::client_config_as(authority, pki.server_client.current().clone())?;
        let proxy = tls::client_config_as(authority, pki.proxy_client.current().clone())?;
        let _ = self.0.own.set(Own { member, server, proxy });
        Ok(())
    }

    /// What is asked from now on goes over new connections, which show the certificates of now.
    pub fn reconnect(&self) {
        self.0.remotes.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(|remote| remote.reconnect());
    }

    pub fn own(&self) -> Option<&Member> {
        self.0.own.get().map(|own| &own.member)
    }

    /// Asks server `to`, as a server.
    pub async fn post(&self, to: u64, path: &str, body: Bytes) -> Result<Bytes, Undelivered> {
        let address = self.0.book.address(to).ok_or_else(|| nowhere(to))?;
        self.post_to(&address, path, body, OTHER_TIMEOUT).await
    }

    /// Asks whoever is at `address`, as a server.
    pub async fn post_to(&self, address: &str, path: &str, body: Bytes, limit: Duration) -> Result<Bytes, Undelivered> {
        let request = Request::builder().method(Method::POST).uri(path).body(Full::new(body));
        let request = request.map_err(|error| unsent(Status::internal(error)))?;
        let (code, _, bytes) = self.send(SERVER, address, request, limit).await?;
        match code.is_success() {
            true => Ok(bytes),
            false => Err(unsent(Status::from_wire(code.as_u16(), &bytes))),
        }
    }

    /// Says hello to whoever is at `address`: each then knows where the other is.
    pub async fn hello(&self, address: &str) -> Result<(), Undelivered> {
        let answer = self.post_to(address, HELLO, Bytes::new(), MESSAGES_TIMEOUT).await?;
        let members: Vec<Member> = serde_json::from_slice(&answer).unwrap_or_default();
        members.into_iter().for_each(|member| self.0.book.hear(member));
        Ok(())
    }

    pub async fn send(
        &self,
        who: &str,
        address: &str,
        mut request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Undelivered> {
        let Some(own) = self.0.own.get() else { return Err(unsent(Status::internal("not open yet"))) };
        for (name, value) in [(FROM, &own.member.id), (ADDRESS, &own.member.address), (VERSION, &own.member.version)] {
            let value = value.parse().map_err(|error| unsent(Status::internal(error)))?;
            request.headers_mut().insert(name, value);
        }
        let remote = self.remote(own, address)?;
        let asking = async {
            let (head, body) = remote.deliver(who, request).await?.into_parts();
            let bytes = read(body).await.map_err(|status| Undelivered { status, was_sent: true })?;
            Ok((head.status, head.headers, bytes))
        };
        let late = |_| {
            Err(Undelivered {
                status: Status::new(Reason::Timeout, format!("no answer from {address}")),
                was_sent: true,
            })
        };
        tokio::time::timeout(limit, asking).await.unwrap_or_else(late)
    }

    fn remote(&self, own: &Own, address: &str) -> Result<Arc<Remote>, Undelivered> {
        let mut remotes = self.0.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remote) = remotes.get(address) {
            return Ok(remote.clone());
        }
        let endpoint =
            endpoint(address).ok_or_else(|| unsent(Status::internal(format!("{address:?} is no address"))))?;
        let identities = [(SERVER.to_owned(), own.server.clone()), (PROXY.to_owned(), own.proxy.clone())];
        let remote = Arc::new(Remote::new(endpoint, identities));
        remotes.insert(address.to_owned(), remote.clone());
        Ok(remote)
    }
}

impl Network for Carrier {
    fn ask(&self, to: u64, ask: Ask, body: Bytes) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
        let carrier = self.clone();
        Box::pin(async move {
            let address = carrier.0.book.address(to).ok_or(NetworkError::NoAddress { id: to })?;
            let (path, limit) = match ask {
                Ask::Messages => (MESSAGES, MESSAGES_TIMEOUT),
                Ask::State => (STATE, STATE_TIMEOUT),
                Ask::Renewals => (RENEWALS, MESSAGES_TIMEOUT),
            };
            carrier.post_to(&address, path, body, limit).await.map_err(|failure| {
                let why = failure.status.message.clone();
                match failure.status.is(Reason::Forbidden) {
                    true => NetworkError::Refused { id: to, why },
                    false => NetworkError::Unreachable { id: to, why },
                }
            })
        })
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn endpoint(address: &str) -> Option<Endpoint> {
    let (host, port) = address.rsplit_once(':')?;
    Some(Endpoint { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().ok()? })
}

fn nowhere(to: u64) -> Undelivered {
    unsent(Status::new(Reason::ServiceUnavailable, format!("nobody knows where server {to:x} is")))
}

fn unsent(status: Status) -> Undelivered {
    Undelivered { status, was_sent: false }
}
