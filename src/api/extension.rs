//! Paths of skiff's own on the API's port, answered before anybody is asked who they are.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::answer::{Answer, BODY_BYTES_MAX, text, write};
use super::body;
use super::exchange::Exchange;
use super::respond::Written;
use crate::object::{Status, Timestamp};

/// Answers everything below a prefix. It must check by itself who asks.
pub trait Extension: Send + Sync + 'static {
    /// With a slash at both ends.
    fn prefix(&self) -> &'static str;

    /// The largest body that is read for `path`.
    fn body_bytes_max(&self, _path: &str) -> usize {
        BODY_BYTES_MAX
    }

    /// What it adds to the page of metrics.
    fn metrics(&self) -> String {
        String::new()
    }

    fn answer<'a>(&'a self, exchange: &'a Exchange, body: Bytes) -> BoxFuture<'a, Result<Reply, Status>>;
}

pub enum Reply {
    Text(String),
    /// With what time it is here. The HTTP library says so too, but stands still once the clock was put back,
    /// until what it said last.
    TextAt(String, Timestamp),
    Json(Vec<u8>),
    Bytes(Bytes),
}

impl Reply {
    pub fn text(text: String) -> Self {
        Self::Text(text)
    }

    pub fn json(value: &impl Serialize) -> Self {
        Self::Json(serde_json::to_vec(value).unwrap_or_default())
    }

    pub fn into_answer(self) -> Answer {
        match self {
            Self::Text(content) => text(200, content),
            Self::TextAt(content, now) => {
                let mut answer = text(200, content);
                if let Ok(date) = now.rfc1123().replace("+0000", "GMT").parse() {
                    answer.headers_mut().insert(http::header::DATE, date);
                }
                answer
            }
            Self::Json(bytes) => write(Written {
                code: 200,
                content_type: "application/json".into(),
                gzip: false,
                body: body::full(bytes),
            }),
            Self::Bytes(bytes) => write(Written {
                code: 200,
                content_type: "application/octet-stream".into(),
                gzip: false,
                body: body::full(bytes),
            }),
        }
    }
}
