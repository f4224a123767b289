//! Servers that are asked about requests: whose a token is, and whether somebody may do something.
//!
//! A kubeconfig says where they are. They are asked with a review and answer with the same review; what
//! fails in passing is tried again a few times.

pub mod access;
mod judge;
pub mod token;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};

use super::outgoing::{self, Outgoing, Unanswered};
use crate::base::clock::ClockRef;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::object::tree::{Tree, TreePath};
use crate::security::kubeconfig::Kubeconfig;
use crate::security::tls;

pub use judge::wait_for;

const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const ATTEMPTS_MAX: u32 = 5;
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_FACTOR: f64 = 1.5;
/// What all attempts together may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One such server.
pub struct Hook {
    outgoing: Outgoing,
    url: Uri,
    /// `Bearer …`, if it wants one.
    authorization: Option<HeaderValue>,
    clock: ClockRef,
}

/// How an attempt ended, as metrics name it.
pub type Outcome = &'static str;

/// Why there is no answer after all.
#[derive(Debug)]
pub struct Failed {
    pub why: String,
    pub outcome: Outcome,
}

impl Hook {
    /// The server that `to` leads to, which has `timeout` for each answer. The error is for the user.
    pub fn new(to: &Kubeconfig, scope: &Scope, timeout: Duration, clock: ClockRef) -> Result<Self, String> {
        let authorities = match &to.authorities {
            Some(pem) => pem.clone(),
            None => outgoing::system_roots()?,
        };
        let tls = tls::client_config(&authorities, to.identity.as_ref());
        let tls = tls.map_err(|error| Chain(&error).to_string())?;
        let authorization = match &to.token {
            Some(token) => {
                let value = HeaderValue::from_str(&format!("Bearer {token}"));
                let mut value = value.map_err(|error| format!("its token: {error}"))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let url: Uri = to.server.parse().map_err(|error| format!("its server is no URL: {error}"))?;
        Ok(Self { outgoing: Outgoing::new(tls, scope.clone(), timeout, ANSWER_BYTES_MAX), url, authorization, clock })
    }

    /// Posts a body of JSON, once.
    pub async fn post(&self, body: Bytes) -> Result<(StatusCode, Bytes), Unanswered> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(body).map_err(|error| error.to_string())?;
        self.outgoing.send(request).await
    }

    /// Asks with `review` until there is an answer, or no use in asking again. `told` hears how each
    /// attempt ended and what it took.
    pub async fn ask(&self, review: &Tree, told: impl Fn(Outcome, Duration) + Send) -> Result<Tree, Failed> {
        let attempts = self.attempts(review.to_string().into(), told);
        let gave_up = || Failed { why: Unanswered::TimedOut.to_string(), outcome: "timeout" };
        tokio::time::timeout(PATIENCE, attempts).await.unwrap_or_else(|_| Err(gave_up()))
    }

    async fn attempts(&self, body: Bytes, told: impl Fn(Outcome, Duration) + Send) -> Result<Tree, Failed> {
        let mut backoff = BACKOFF_FIRST;
        let mut attempt = 1;
        loop {
            let since = self.clock.elapsed();
            let (failed, is_passing) = match judged(self.post(body.clone()).await) {
                Ok(answer) => {
                    told("success", self.clock.elapsed().saturating_sub(since));
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            told(failed.outcome, self.clock.elapsed().saturating_sub(since));
            if !is_passing || attempt == ATTEMPTS_MAX {
                return Err(Failed { why: format!("Post \"{}\": {}", self.url, failed.why), ..failed });
            }
            tokio::time::sleep(backoff).await;
            backoff = backoff.mul_f64(BACKOFF_FACTOR);
            attempt += 1;
        }
    }
}

/// The answer, or why it is none and whether that may pass.
fn judged(answer: Result<(StatusCode, Bytes), Unanswered>) -> Result<Tree, (Failed, bool)> {
    let error = |why: String| Failed { why, outcome: "error" };
    let (code, body) = match answer {
        Ok(answer) => answer,
        Err(Unanswered::TimedOut) => {
            let why = Unanswered::TimedOut.to_string();
            return Err((Failed { why, outcome: "timeout" }, false));
        }
        Err(Unanswered::Reset(why)) => return Err((error(why), true)),
        Err(Unanswered::Other(why)) => return Err((error(why), false)),
    };
    if code.is_success() {
        return serde_json::from_slice(&body).map_err(|why| (error(format!("the answer is no JSON: {why}")), false));
    }
    let is_passing = matches!(code.as_u16(), 429 | 500 | 504);
    let outcome = if code == StatusCode::GATEWAY_TIMEOUT { "timeout" } else { "error" };
    Err((Failed { why: words(code, &body), outcome }, is_passing))
}

/// What an answer with an error's code says, as Kubernetes' clients put it.
fn words(code: StatusCode, body: &[u8]) -> String {
    let status: Option<Tree> = serde_json::from_slice(body).ok();
    if let Some(status) = status.filter(|status| status.is_object() && status.text("kind") == "Status") {
        return status.text("message").to_owned();
    }
    const SHOWN_BYTES_MAX: usize = 2_048;
    let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]);
    match code.as_u16() {
        401 => "the server has asked for the client to provide credentials".into(),
        403 => shown.trim().to_owned(),
        404 => "the server could not find the requested resource".into(),
        429 => "the server has received too many requests and has asked us to try again later".into(),
        503 => "the server is currently unable to handle the request".into(),
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .into()
        }
        500.. => {
            format!("an error on the server ({:?}) has prevented the request from succeeding", shown.trim())
        }
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
