//! What comes back from the other side: an answer to pass on, or a protocol to join.

use std::sync::Arc;

use futures_util::StreamExt;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, BodyStream};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::html::{Page, Place};
use super::{Location, strip};
use crate::api::answer::Answer;
use crate::api::body::{self, BoxError};
use crate::api::exchange::Exchange;
use crate::api::flow::Seat;
use crate::api::outgoing::pool::Kept;
use crate::api::pipeline::Api;
use crate::object::Status;

/// Sends the client to `location`.
pub fn moved(location: String) -> Answer {
    let mut answer = crate::api::answer::text(StatusCode::MOVED_PERMANENTLY.as_u16(), "");
    if let Ok(location) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// Where what comes back belongs.
pub fn place(exchange: &Exchange, location: &Location) -> Place {
    let rest = exchange.line.rest.as_str();
    let base = exchange.line.path.strip_suffix(rest).unwrap_or(&exchange.line.path);
    let asked = exchange.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Place { base: base.trim_end_matches('/').to_owned(), hosts: [location.authority(), asked.to_owned()] }
}

/// Passes an answer on. What a proxy answers is made to lead through the proxy again: redirects, and
/// links of pages that are not compressed.
pub fn pass(response: Response<Kept>, place: Option<Place>, seat: Seat) -> Answer {
    let (mut parts, incoming) = response.into_parts();
    strip(&mut parts.headers, false);
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let redirect = text(header::LOCATION).map(str::to_owned);
    let kind = text(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let is_page = kind.trim() == "text/html" && !parts.headers.contains_key(header::CONTENT_ENCODING);
    if let Some(new) = redirect.as_ref().zip(place.as_ref()).and_then(|(link, place)| place.rewrite(link))
        && let Ok(new) = HeaderValue::from_str(&new)
    {
        parts.headers.insert(header::LOCATION, new);
    }
    // Whoever proxies speaks for the cluster: what is behind it sets no rules for it.
    parts.headers.remove("audit-id");
    let page = place.filter(|_| is_page && redirect.is_none()).map(Page::new);
    let length = parts.headers.remove(header::CONTENT_LENGTH).filter(|_| page.is_none());
    let chunks = BodyStream::new(incoming).filter_map(|frame| async move {
        frame.map_err(BoxError::from).map(|frame| frame.into_data().ok()).transpose()
    });
    let stream = futures_util::stream::unfold((Box::pin(chunks), page, seat), |(mut chunks, mut page, seat)| async {
        let chunk = match (chunks.next().await, page.as_mut()) {
            (Some(Ok(chunk)), Some(page)) => Ok(page.push(&chunk).into()),
            (Some(chunk), _) => chunk,
            // The end: what the page held back comes last, once.
            (None, Some(page)) => Ok(Some(page.finish()).filter(|rest| !rest.is_empty())?.into()),
            (None, None) => return None,
        };
        Some((chunk, (chunks, page, seat)))
    });
    let mut answer = Response::from_parts(parts, body::stream(stream));
    if let Some(length) = length {
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    answer
}

/// Joins the client with the other side, which has agreed to speak another protocol.
pub fn join(
    api: &Arc<Api>,
    mut response: Response<Kept>,
    client: Option<OnUpgrade>,
    seat: Seat,
) -> Result<Answer, Status> {
    let client = client.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let server = hyper::upgrade::on(&mut response);
    let (scope, record) = (api.scope.clone(), crate::api::audit::current());
    api.scope.spawn("relay", async move {
        let _held = (seat, record);
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
