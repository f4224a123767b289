//! A server far away as a backend: the same calls, over TLS.
//!
//! Each identity (a node, a proxy) has connections of its own, chosen by the call's user, because
//! the server knows callers by their certificates. Calls share one HTTP/2 connection; a connection
//! that dies is made again by the next call. Watches deliver no previous states: what an agent
//! follows, it holds itself.

mod connect;
pub mod reply;
pub mod request;
mod unsent;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::backend::{Backend, Events};
use crate::base::address;
use crate::object::{Answer, Call, Reason, Status};
use connect::Connector;
use reply::Lines;
use request::Wire;
use unsent::{Whole, never_began};

/// How long a call may take; watches last as long as they do.
const CALL_TIMEOUT: Duration = Duration::from_secs(70);
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A list larger than this is not read: ask for pages.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

type Http = HttpClient<Connector, Whole>;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        address::join(&self.host, self.port)
    }
}

/// A request without answer.
#[derive(Debug)]
pub struct Undelivered {
    pub status: Status,
    /// It may have arrived all the same.
    pub was_sent: bool,
}

pub struct Remote {
    endpoint: Endpoint,
    identities: HashMap<String, Identity>,
}

/// Connections of one user, and how more are made.
struct Identity {
    connector: Connector,
    http: ArcSwap<Http>,
}

impl Remote {
    /// A client of `endpoint` that is, for each user in `identities`, who its TLS configuration says.
    pub fn new(endpoint: Endpoint, identities: impl IntoIterator<Item = (String, rustls::ClientConfig)>) -> Self {
        let connect = |tls| {
            let connector = Connector::new(endpoint.clone(), Arc::new(tls));
            Identity { http: ArcSwap::from_pointee(http_client(connector.clone())), connector }
        };
        let identities = identities.into_iter().map(|(user, tls)| (user, connect(tls))).collect();
        Self { endpoint, identities }
    }

    /// What is asked from now on goes over new connections, which show the certificates of now. What goes on over the
    /// old ones does so to its end; then they are closed.
    pub fn reconnect(&self) {
        for identity in self.identities.values() {
            identity.http.store(Arc::new(http_client(identity.connector.clone())));
        }
    }

    /// Sends a request as it is, as one of the identities.
    pub async fn send(&self, user: &str, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Status> {
        self.deliver(user, request).await.map_err(|failure| failure.status)
    }

    /// As [`Remote::send`], telling apart what certainly never arrived.
    pub async fn deliver(
        &self,
        user: &str,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Undelivered> {
        let identity = self.identities.get(user).ok_or_else(|| Undelivered {
            status: Status::new(Reason::Unauthorized, format!("this machine has no certificate of user {user:?}")),
            was_sent: false,
        })?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("https://{}{path}", self.endpoint.authority()).parse();
        *request.uri_mut() = uri.map_err(|error| Undelivered {
            status: Status::bad_request(format!("{path:?} is no path: {error}")),
            was_sent: false,
        })?;
        let http = identity.http.load_full();
        http.request(request.map(Whole)).await.map_err(|error| {
            let why = crate::base::error::Chain(&error).to_string();
            Undelivered {
                status: unavailable(format!("cannot reach server {}: {why}", self.endpoint.authority())),
                was_sent: !error.is_connect() && !never_began(&error),
            }
        })
    }

    async fn exchange(&self, call: &Call, wire: Wire) -> Result<Response<Incoming>, Status> {
        let mut request =
            Request::builder().method(wire.method).uri(wire.path).header(header::ACCEPT, "application/json");
        if !wire.content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, wire.content_type);
        }
        if let Ok(agent) = HeaderValue::from_str(&call.user_agent) {
            request = request.header(header::USER_AGENT, agent);
        }
        let request = request.body(Full::new(wire.body)).map_err(Status::internal)?;
        self.send(&call.user.name, request).await
    }

    async fn ask(&self, call: Call) -> Result<Answer, Status> {
        let response = self.exchange(&call, Wire::of(&call)?).await?;
        let (head, body) = response.into_parts();
        let bytes = read(body).await?;
        if !head.status.is_success() {
            return Err(Status::from_wire(head.status.as_u16(), &bytes));
        }
        let warnings = head.headers.get_all(header::WARNING).iter().filter_map(reply::warning).collect();
        Ok(Answer { reply: reply::read(&call, head.status.as_u16() == 201, bytes)?, warnings })
    }

    async fn follow(&self, call: Call) -> Result<Events, Status> {
        let response = self.exchange(&call, Wire::of(&call)?).await?;
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            return Err(Status::from_wire(head.status.as_u16(), &read(body).await?));
        }
        let lines = Lines::of(call.target.group_resource());
        let events = stream::unfold((body, lines, false), |(mut body, mut lines, ended)| async move {
            if ended {
                return None;
            }
            loop {
                if let Some(event) = lines.next() {
                    let ended = event.is_err();
                    return Some((event, (body, lines, ended)));
                }
                match body.frame().await? {
                    Ok(frame) => lines.feed(frame.data_ref().map_or(&[][..], |bytes| &bytes[..])),
                    Err(error) => {
                        let lost = unavailable(format!("the watch was cut off: {error}"));
                        return Some((Err(lost), (body, lines, true)));
                    }
                }
            }
        });
        Ok(events.boxed())
    }
}

impl Backend for Remote {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Status>> {
        Box::pin(async move {
            match tokio::time::timeout(CALL_TIMEOUT, self.ask(call)).await {
                Ok(answer) => answer,
                Err(_) => Err(Status::new(Reason::Timeout, format!("no answer from {}", self.endpoint.authority()))),
            }
        })
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<Events, Status>> {
        Box::pin(self.follow(call))
    }
}

/// Reads a body that fits into memory.
pub async fn read(body: Incoming) -> Result<Bytes, Status> {
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    collected.map(|body| body.to_bytes()).map_err(|error| unavailable(format!("the answer was cut off: {error}")))
}

fn http_client(connector: Connector) -> Http {
    HttpClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_adaptive_window(true)
        .build(connector)
}

fn unavailable(message: String) -> Status {
    Status::new(Reason::ServiceUnavailable, message)
}

#[cfg(test)]
mod tests;
