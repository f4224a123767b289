//! Requests that end somewhere else: logs, exec, attach and port-forward at the pod's kubelet, and
//! the proxies of nodes, pods and services.
//!
//! What comes back is passed on as it is, but for links of proxied pages ([`html`]). After `101 Switching Protocols` both sides are joined byte
//! for byte: WebSocket and SPDY are the business of the two ends.

mod admit;
mod html;
mod location;
mod messages;
pub(in crate::api) mod relay;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Uri};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::api::answer::Answer;
use crate::api::body::{AnswerBody, BoxError};
use crate::api::exchange::Exchange;
use crate::api::flow::Seat;
use crate::api::outgoing::pool::{self, Kept};
use crate::api::pipeline::Api;
use crate::base::websocket;
use crate::object::{Reason, Status};
use crate::resources::Resource;

pub use location::Location;

/// A connection to somewhere.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}
pub type BoxWire = Box<dyn Wire>;

/// Opens connections to nodes and to what runs on them, wherever they are.
pub trait Dialer: Send + Sync + 'static {
    /// To the kubelet's HTTPS server of a node, TLS done.
    fn kubelet<'a>(&'a self, node: &'a str, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxWire>>;

    /// To an address of the pod or node network; with TLS (of whatever certificate) if asked.
    fn address<'a>(&'a self, host: &'a str, port: u16, tls: bool) -> BoxFuture<'a, io::Result<BoxWire>>;
}

/// Subresources that are served elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    Log,
    Exec,
    Attach,
    PortForward,
    NodeProxy,
    PodProxy,
    ServiceProxy,
}

const CONNECTS: &[(&str, &str, Connect)] = &[
    ("pods", "log", Connect::Log),
    ("pods", "exec", Connect::Exec),
    ("pods", "attach", Connect::Attach),
    ("pods", "portforward", Connect::PortForward),
    ("nodes", "proxy", Connect::NodeProxy),
    ("pods", "proxy", Connect::PodProxy),
    ("services", "proxy", Connect::ServiceProxy),
];

pub fn connect_of(resource: &Resource, name: &str) -> Option<Connect> {
    let of = CONNECTS.iter().find(|(of, sub, _)| *of == resource.name.as_str() && *sub == name);
    of.map(|(.., connect)| *connect)
}

impl Connect {
    pub fn is_proxy(self) -> bool {
        matches!(self, Self::NodeProxy | Self::PodProxy | Self::ServiceProxy)
    }
}

/// Headers that concern one connection only.
const HOP_BY_HOP: &[&str] =
    &["keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"];

/// Passes the request on to where it belongs, and what comes back to the client.
pub async fn serve<B>(
    api: &Arc<Api>,
    connect: Connect,
    exchange: &Exchange,
    body: B,
    upgrade: Option<OnUpgrade>,
    seat: Seat,
) -> Result<Answer, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    // Answers of the other side go through as they are, without our warnings.
    admit::admit(api, connect, exchange).await?;
    let Some(location) = location::find(api, connect, exchange)? else {
        return Ok(crate::api::answer::text(200, ""));
    };
    let wants_upgrade = upgrade.is_some() && exchange.headers.contains_key(header::UPGRADE);
    if connect.is_proxy()
        && !wants_upgrade
        && let Some(redirect) = location::to_folder(exchange)
    {
        return Ok(relay::moved(redirect));
    }
    let wire = location.dial(api.dialer.as_ref()).await.map_err(|error| unreachable(connect, &location, &error))?;
    // Logs are the only stream whose messages are made here.
    let is_upgrade = wants_upgrade && connect != Connect::Log;
    let request = outgoing(&location, exchange, body, is_upgrade)?;
    let failed = |error: hyper::Error| unreachable(connect, &location, &io::Error::other(error));
    let mut sender = pool::open(&api.scope, wire).await.map_err(failed)?;
    let response = sender.send_request(request).await.map_err(failed)?.map(Kept::once);
    if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
        return relay::join(api, response, upgrade, seat);
    }
    if let Some(client) = upgrade.filter(|_| connect == Connect::Log && websocket::is_asked(&exchange.headers))
        && response.status() == http::StatusCode::OK
    {
        return messages::send(api, &exchange.headers, response, client, seat);
    }
    let place = connect.is_proxy().then(|| relay::place(exchange, &location));
    Ok(relay::pass(response, place, seat))
}

/// A body as it comes.
pub(in crate::api) fn relayed<B>(body: B) -> AnswerBody
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// The client's request as the other side is to see it.
fn outgoing<B>(location: &Location, exchange: &Exchange, body: B, upgrade: bool) -> Result<Request<AnswerBody>, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let uri: Uri = location.path.parse().map_err(|error| Status::bad_request(format!("bad path: {error}")))?;
    let mut request = Request::new(relayed(body));
    *request.method_mut() = exchange.method.clone();
    *request.uri_mut() = uri;
    let mut headers = exchange.headers.clone();
    strip(&mut headers, upgrade);
    // Who asked has been settled; the other side must not be able to ask again in their name.
    headers.remove(header::AUTHORIZATION);
    if let Ok(host) = HeaderValue::from_str(&location.authority()) {
        headers.insert(header::HOST, host);
    }
    let forwarded = exchange.peer.address.ip().to_string();
    if let Ok(value) = HeaderValue::from_str(&forwarded) {
        headers.append("x-forwarded-for", value);
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// Takes out what concerns one connection; what belongs to an upgrade stays if there is one.
pub(in crate::api) fn strip(headers: &mut HeaderMap, upgrade: bool) {
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
    let impersonation: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    impersonation.iter().for_each(|name| drop(headers.remove(name)));
    if !upgrade {
        headers.remove(header::CONNECTION);
        headers.remove(header::UPGRADE);
    }
}

fn unreachable(connect: Connect, location: &Location, error: &io::Error) -> Status {
    if connect.is_proxy() {
        let message = format!("error trying to reach service: dial tcp {}: {error}", location.authority());
        return Status::new(Reason::ServiceUnavailable, message);
    }
    Status::internal(format!("error dialing backend: dial tcp {}: {error}", location.authority()))
}
