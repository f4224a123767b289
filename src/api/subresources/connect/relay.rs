//! What comes back from the other side: an answer to pass on, or a protocol to join.

use std::sync::Arc;

use futures_util::StreamExt;
use http::header::{self, HeaderValue};
use http::{Response, Uri};
use http_body_util::{BodyExt, BodyStream};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::strip;
use crate::api::body::{self, BoxError};
use crate::api::flow::Seat;
use crate::api::http::{Answer, Exchange};
use crate::api::pipeline::Api;
use crate::object::Status;

/// Passes an answer on. A proxy's redirects are made to lead through the proxy again.
pub fn pass(response: Response<Incoming>, proxied: Option<&Exchange>, seat: Seat) -> Answer {
    let (mut parts, incoming) = response.into_parts();
    strip(&mut parts.headers, false);
    if let Some(exchange) = proxied {
        let location = parts.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        if let Some(location) = location.and_then(|location| redirect(location, exchange)) {
            parts.headers.insert(header::LOCATION, location);
        }
    }
    // Whoever proxies speaks for the cluster: what is behind it sets no rules for it.
    parts.headers.remove("audit-id");
    let length = parts.headers.get(header::CONTENT_LENGTH).cloned();
    let stream = BodyStream::new(incoming).filter_map(move |frame| {
        let _held = &seat;
        let chunk = frame.map_err(BoxError::from).map(|frame| frame.into_data().ok()).transpose();
        async move { chunk }
    });
    let mut answer = Response::from_parts(parts, body::stream(stream));
    if let Some(length) = length {
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    answer
}

/// A redirect of the other side, as a place below the proxy.
fn redirect(location: &str, exchange: &Exchange) -> Option<HeaderValue> {
    let uri: Uri = location.parse().ok()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if !path.starts_with('/') {
        return None;
    }
    let rest = exchange.line.rest.as_str();
    let base = exchange.line.path.strip_suffix(rest).unwrap_or(&exchange.line.path);
    HeaderValue::from_str(&format!("{}{path}", base.trim_end_matches('/'))).ok()
}

/// Joins the client with the other side, which has agreed to speak another protocol.
pub fn join(
    api: &Arc<Api>,
    mut response: Response<Incoming>,
    client: Option<OnUpgrade>,
    seat: Seat,
) -> Result<Answer, Status> {
    let client = client.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let server = hyper::upgrade::on(&mut response);
    let scope = api.scope.clone();
    api.scope.spawn("relay", async move {
        let _held = seat;
        let work = async {
            let (client, server) = tokio::try_join!(client, server)?;
            let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
            // How a stream ends is between the two ends; there is nobody left to tell.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            Ok::<_, hyper::Error>(())
        };
        tokio::select! {
            done = work => if let Err(error) = done {
                tracing::debug!(%error, "cannot switch protocols");
            },
            () = scope.stopping() => (),
        }
    });
    let (mut parts, rest) = response.into_parts();
    drop(rest);
    parts.extensions.clear();
    let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}
