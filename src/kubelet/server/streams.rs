//! Exec, attach and port-forward: the client's connection joined with the runtime's.
//!
//! The runtime answers on a URL of its own, in SPDY. A client that speaks SPDY is joined with it
//! byte for byte; one that speaks WebSocket is translated.

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::answer::{Answer, Failure, empty};
use super::websocket::{self, Wanted};
use crate::base::service::Scope;
use crate::base::websocket as handshake;

const STREAM_PROTOCOL: &str = "X-Stream-Protocol-Version";
/// What is spoken with the runtime for WebSocket clients.
const RUNTIME_PROTOCOL: &str = "v4.channel.k8s.io";

/// Headers of an upgrade request that concern the streams.
const PASSED_ON: [&str; 6] =
    ["Upgrade", "Connection", STREAM_PROTOCOL, "Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "Sec-WebSocket-Version"];

/// Joins an exec or attach with the runtime's streaming `url`.
pub async fn exec(scope: &Scope, request: Request<Incoming>, url: &str, wanted: Wanted) -> Result<Answer, Failure> {
    match chosen(request.headers(), &websocket::PROTOCOLS) {
        Some(protocol) => {
            let (runtime, _) = upgrade(scope, url, spdy_headers(Some(RUNTIME_PROTOCOL))).await?;
            let (client, answer) = accept_websocket(request, protocol)?;
            scope.spawn("exec stream", async move {
                let Ok(client) = client.await else { return };
                let client = server_side(client).await;
                if let Err(error) = websocket::translate(client, TokioIo::new(runtime), wanted).await {
                    tracing::debug!(%error, "a stream ended");
                }
            });
            Ok(answer)
        }
        None => join(scope, request, url).await,
    }
}

/// Joins a port-forward with the runtime's streaming `url`.
pub async fn port_forward(scope: &Scope, request: Request<Incoming>, url: &str) -> Result<Answer, Failure> {
    let Some(protocol) = chosen(request.headers(), &[websocket::TUNNEL]) else {
        return join(scope, request, url).await;
    };
    let (runtime, _) = upgrade(scope, url, spdy_headers(Some("portforward.k8s.io"))).await?;
    let (client, answer) = accept_websocket(request, protocol)?;
    scope.spawn("port-forward stream", async move {
        let Ok(client) = client.await else { return };
        let client = server_side(client).await;
        if let Err(error) = websocket::tunnel(client, TokioIo::new(runtime)).await {
            tracing::debug!(%error, "a tunnel ended");
        }
    });
    Ok(answer)
}

/// Passes the upgrade on as it is and joins what comes of it.
async fn join(scope: &Scope, mut request: Request<Incoming>, url: &str) -> Result<Answer, Failure> {
    if !request.headers().contains_key(UPGRADE) {
        return Err(Failure::new(StatusCode::BAD_REQUEST, "you must request an upgrade to SPDY/3.1 or WebSocket"));
    }
    let client = hyper::upgrade::on(&mut request);
    let passed = PASSED_ON.iter().flat_map(|name| {
        let values = request.headers().get_all(*name).into_iter();
        values.map(|value| (http::HeaderName::from_bytes(name.as_bytes()), value.clone()))
    });
    let headers: HeaderMap = passed.filter_map(|(name, value)| Some((name.ok()?, value))).collect();
    let (runtime, answered) = upgrade(scope, url, headers).await?;
    scope.spawn("stream", async move {
        let Ok(client) = client.await else { return };
        let (mut client, mut runtime) = (TokioIo::new(client), TokioIo::new(runtime));
        // Either side going away is how streams end.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut runtime).await;
    });
    let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in &answered {
        answer.headers_mut().append(name, value.clone());
    }
    Ok(answer)
}

/// The first of `known` that a WebSocket client offers.
fn chosen(headers: &HeaderMap, known: &[&'static str]) -> Option<&'static str> {
    handshake::is_asked(headers).then(|| handshake::chosen(headers, known)).flatten()
}

fn spdy_headers(protocol: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    if let Some(protocol) = protocol {
        headers.insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    }
    headers
}

fn accept_websocket(mut request: Request<Incoming>, protocol: &'static str) -> Result<(OnUpgrade, Answer), Failure> {
    let headers = handshake::accept(request.headers(), Some(protocol));
    let headers = headers.ok_or_else(|| Failure::new(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"))?;
    let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
    *answer.headers_mut() = headers;
    Ok((hyper::upgrade::on(&mut request), answer))
}

async fn server_side(client: Upgraded) -> WebSocketStream<TokioIo<Upgraded>> {
    WebSocketStream::from_raw_socket(TokioIo::new(client), Role::Server, None).await
}

/// Asks the runtime's streaming server to switch protocols.
async fn upgrade(scope: &Scope, url: &str, headers: HeaderMap) -> Result<(Upgraded, HeaderMap), Failure> {
    let failed =
        |why: String| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("error upgrading connection: {why}"));
    let uri: Uri = url.parse().map_err(|error| failed(format!("bad address {url:?}: {error}")))?;
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    let tcp = TcpStream::connect(&host).await.map_err(|error| failed(error.to_string()))?;
    let _ = tcp.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(tcp))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let method = if handshake::is_asked(&headers) { http::Method::GET } else { http::Method::POST };
    let mut request = Request::builder().method(method).uri(path).header("Host", &host);
    if let Some(all) = request.headers_mut() {
        all.extend(headers);
    }
    let request = request.body(Empty::new()).map_err(|error| failed(error.to_string()))?;
    // Driven on its own: it ends when it has given its transport up.
    scope.spawn("runtime stream", async move {
        let _ = connection.with_upgrades().await;
    });
    let response: Response<Incoming> = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(Failure::new(status, String::from_utf8_lossy(&body).into_owned()));
    }
    let headers = response.headers().clone();
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(error.to_string()))?;
    Ok((upgraded, headers))
}
