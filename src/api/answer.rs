//! What goes over the wire: bodies read with a limit, answers with their headers.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;

use crate::object::status::Details;
use crate::object::{Reason, Status};

use super::body::{self, AnswerBody, BoxError};
use super::encode;
use super::negotiate::Format;
use super::respond::Written;

pub type Answer = Response<AnswerBody>;

/// An extension of answers that go on until somebody ends them, with little to do in between.
#[derive(Clone, Copy)]
pub struct Lasts;

/// The largest body that is read.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Reads a whole body, if it is not too large.
pub async fn read_body<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    read_body_up_to(body, BODY_BYTES_MAX).await
}

pub async fn read_body_up_to<B>(body: B, limit: usize) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    match http_body_util::Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("Request entity too large: limit is {limit}");
            Err(Status::new(Reason::RequestEntityTooLarge, message))
        }
        Err(error) => Err(Status::bad_request(format!("cannot read the body: {error}"))),
    }
}

/// Writes a body with its headers.
pub fn write(written: Written) -> Answer {
    let mut answer = Response::new(written.body);
    *answer.status_mut() = StatusCode::from_u16(written.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(&written.content_type) {
        answer.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
        // The rest of the body is not read, so nothing can follow it (HTTP/2 leaves this header out).
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if written.gzip {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    answer
}

/// Writes a Status that says what went wrong.
pub fn failure(status: &Status, format: Format) -> Answer {
    let bytes = encode::status(&status.to_json(), format);
    let written = Written {
        code: status.code(),
        content_type: format.content_type().into(),
        gzip: false,
        body: body::full(bytes),
    };
    let mut answer = write(written);
    if let Some(details) = status.details.as_ref().filter(|details| details.retry_after_seconds > 0) {
        answer.headers_mut().insert(header::RETRY_AFTER, details.retry_after_seconds.into());
    }
    answer
}

/// A plain text answer.
pub fn text(code: u16, text: impl Into<Bytes>) -> Answer {
    let content_type = "text/plain; charset=utf-8".into();
    let mut answer = write(Written { code, content_type, gzip: false, body: body::full(text) });
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Adds a `Warning` header for each text.
pub fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    let mut seen: Vec<&str> = Vec::new();
    for warning in warnings {
        if seen.contains(&warning.as_str()) {
            continue;
        }
        seen.push(warning);
        let quoted: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            headers.append(header::WARNING, value);
        }
    }
}

/// Sends a client on to another server, or back here in a while.
pub(super) fn stopping() -> Answer {
    let mut answer = text(429, "The apiserver is shutting down, please try again later.\n");
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

pub(super) fn timed_out(is_read: bool) -> Status {
    let why =
        if is_read { "within the allotted timeout" } else { "within requested timeout - context deadline exceeded" };
    Status::new(Reason::Timeout, format!("Timeout: request did not complete {why}")).with_details(Details::default())
}
