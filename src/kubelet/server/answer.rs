//! Answers that are made here, and failures as the API server passes them on.

use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;

use crate::object::{Reason, Tree};

pub type Body = BoxBody<Bytes, std::io::Error>;
pub type Answer = Response<Body>;

/// A request that was not served; the text goes to the client.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// A `metav1.Status`, but for who has no business here.
    pub fn into_answer(self) -> Answer {
        let reason = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return text(self.status, self.message),
            StatusCode::BAD_REQUEST => Reason::BadRequest,
            StatusCode::NOT_FOUND => Reason::NotFound,
            StatusCode::INTERNAL_SERVER_ERROR => Reason::InternalError,
            other => Reason::Other(other.as_u16()),
        };
        let mut answer = json(&crate::object::Status::new(reason, self.message).to_json());
        *answer.status_mut() = self.status;
        answer
    }
}

pub fn empty(status: StatusCode) -> Answer {
    bytes(status, "", Bytes::new())
}

pub fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    bytes(status, "text/plain; charset=utf-8", Bytes::from(text.into()))
}

/// Numbers in the text format of Prometheus.
pub fn numbers(text: String) -> Answer {
    bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", Bytes::from(text))
}

pub fn json(tree: &Tree) -> Answer {
    bytes(StatusCode::OK, "application/json", Bytes::from(tree.to_string()))
}

pub fn bytes(status: StatusCode, kind: &'static str, content: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(content).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    if !kind.is_empty() {
        answer.headers_mut().insert("Content-Type", HeaderValue::from_static(kind));
    }
    answer
}
