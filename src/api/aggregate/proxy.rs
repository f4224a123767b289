//! Passes requests on to the server of an aggregated group.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode};
use hyper::upgrade::OnUpgrade;

use super::{Remote, remote};
use crate::api::answer::{Answer, text};
use crate::api::body::BoxError;
use crate::api::exchange::Exchange;
use crate::api::flow::Seat;
use crate::api::pipeline::Api;
use crate::api::subresources::connect::{relay, relayed, strip};
use crate::object::Status;

/// Sends the request on, and back what comes. The caller's right to make it has been checked.
pub async fn serve<B>(
    api: &Arc<Api>,
    remote: &Remote,
    exchange: &Exchange,
    body: B,
    upgrade: Option<OnUpgrade>,
    seat: Seat,
) -> Result<Answer, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if !remote.is_available {
        return Ok(text(503, "service unavailable\n"));
    }
    let unreachable = |why: String| {
        tracing::debug!(service = remote.name, why, "cannot reach an aggregated API server");
        Ok(text(503, format!("error trying to reach service: {why}\n")))
    };
    let peer = match remote::peer(api, remote) {
        Ok(peer) => peer,
        Err(why) => return unreachable(why),
    };
    let is_upgrade = upgrade.is_some() && exchange.headers.contains_key(header::UPGRADE);
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = exchange.method.clone();
    let path = exchange.uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|error| Status::bad_request(format!("bad path: {error}")))?;
    let mut headers = exchange.headers.clone();
    strip(&mut headers, is_upgrade);
    headers.remove(header::AUTHORIZATION);
    remote::speak_for(&mut headers, &exchange.user);
    remote::name(&mut headers, &peer);
    if let Ok(client) = HeaderValue::from_str(&exchange.peer.address.ip().to_string()) {
        headers.append("x-forwarded-for", client);
    }
    *request.headers_mut() = headers;
    // Reading may be done twice, writing may not.
    let is_read = body.is_end_stream() && matches!(exchange.method, Method::GET | Method::HEAD);
    let sent = match is_read {
        true => api.aggregator.pool.send(&peer, request).await,
        false => api.aggregator.pool.send_once(&peer, request.map(|_| relayed(body))).await,
    };
    let response = match sent {
        Ok(response) => response,
        Err(why) => return unreachable(why.to_string()),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return relay::join(api, response, upgrade, seat);
    }
    Ok(relay::pass(response, None, seat))
}
