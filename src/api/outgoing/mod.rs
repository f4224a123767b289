//! Requests to servers outside of the cluster, within limits of time and size.

pub mod pool;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::api::subresources::connect::BoxWire;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::security::tls;

use pool::{Dial, Peer, Pool};

/// Where the distribution keeps the authorities that everybody trusts.
pub const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Speaks to servers that certain authorities vouch for. Clones share connections.
#[derive(Clone)]
pub struct Outgoing {
    pool: Pool,
    timeout: Duration,
    answer_bytes_max: usize,
}

impl Outgoing {
    pub fn new(tls: ClientConfig, scope: Scope, timeout: Duration, answer_bytes_max: usize) -> Self {
        let dial: Dial = Box::new(|host, port| {
            Box::pin(async move {
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as BoxWire)
            })
        });
        Self { pool: Pool::new(scope, dial, Box::new(move |_| Ok(tls.clone()))), timeout, answer_bytes_max }
    }

    /// Sends a request with an absolute `https` address, which may arrive twice. The error says what went wrong on
    /// the way.
    pub async fn send(&self, request: Request<Bytes>) -> Result<(StatusCode, Bytes), Unanswered> {
        let url = request.uri().to_string();
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        answer.unwrap_or(Err(Unanswered::TimedOut)).map_err(|why| why.about(&url))
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> Result<(StatusCode, Bytes), Unanswered> {
        let uri = request.uri().clone();
        if uri.scheme_str() != Some("https") {
            return Err("URL scheme must be https".to_owned().into());
        }
        let authority = uri.authority().ok_or_else(|| "the URL has no host".to_owned())?.clone();
        let (host, port) = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(443));
        let peer = Peer { address: host.into(), port, name: host.into(), trust: String::new() };
        *request.uri_mut() = origin_form(&uri)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(header::HOST, host);
        let response = self.pool.send(&peer, request).await?;
        let code = response.status();
        let body = Limited::new(response.into_body(), self.answer_bytes_max).collect().await;
        Ok((code, body.map_err(|error| error.to_string())?.to_bytes()))
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("context deadline exceeded")]
    TimedOut,
    /// The other side hung up; it may be there again soon.
    #[error("{0}")]
    Reset(String),
    #[error("{0}")]
    Other(String),
}

impl Unanswered {
    fn about(self, url: &str) -> Self {
        match self {
            Self::TimedOut => Self::TimedOut,
            Self::Reset(why) => Self::Reset(format!("{url}: {why}")),
            Self::Other(why) => Self::Other(format!("{url}: {why}")),
        }
    }
}

impl From<String> for Unanswered {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

/// The certificates to trust where nothing else is said, in PEM.
pub fn system_roots() -> Result<String, String> {
    std::fs::read_to_string(SYSTEM_ROOTS)
        .map_err(|error| format!("no authorities given, and no {SYSTEM_ROOTS}: {error}"))
}

/// How to speak to a server that `authorities_pem` (those of the system if none) vouch for.
pub fn trusting(authorities_pem: Option<&str>) -> Result<ClientConfig, String> {
    let system;
    let pem = match authorities_pem {
        Some(pem) => pem,
        None => {
            system = system_roots()?;
            &system
        }
    };
    tls::client_config(pem, None).map_err(|error| Chain(&error).to_string())
}

fn origin_form(uri: &Uri) -> Result<Uri, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    path.parse().map_err(|error: http::uri::InvalidUri| error.to_string())
}
