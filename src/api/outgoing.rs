//! Requests to servers outside of the cluster: one connection each, within limits of time and size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::security::tls;

/// Where the distribution keeps the authorities that everybody trusts.
pub const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Speaks to servers that certain authorities vouch for.
#[derive(Clone)]
pub struct Outgoing {
    tls: Arc<ClientConfig>,
    scope: Scope,
    timeout: Duration,
    answer_bytes_max: usize,
}

impl Outgoing {
    pub fn new(mut tls: ClientConfig, scope: Scope, timeout: Duration, answer_bytes_max: usize) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: Arc::new(tls), scope, timeout, answer_bytes_max }
    }

    /// Sends a request with an absolute `https` address. The error says what went wrong on the way.
    pub async fn send(&self, request: Request<Bytes>) -> Result<(StatusCode, Bytes), Unanswered> {
        let url = request.uri().to_string();
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        answer.unwrap_or(Err(Unanswered::TimedOut)).map_err(|why| why.about(&url))
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<(StatusCode, Bytes), Unanswered> {
        let uri = request.uri().clone();
        if uri.scheme_str() != Some("https") {
            return Err("URL scheme must be https".to_owned().into());
        }
        let authority = uri.authority().ok_or_else(|| "the URL has no host".to_owned())?.clone();
        let (host, port) = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(443));
        let wire = TcpStream::connect((host, port)).await;
        let wire = wire.map_err(|error| format!("dial tcp {host}:{port}: {error}"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, wire).await;
        let stream = stream.map_err(|error| format!("tls: {error}"))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| text(&error))?;
        self.scope.spawn("outgoing", async move {
            // How it ends shows in the answer, or in there being none.
            let _ = connection.await;
        });
        let (mut parts, body) = request.into_parts();
        parts.uri = origin_form(&uri)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?;
        parts.headers.insert(header::HOST, host);
        let response = sender.send_request(Request::from_parts(parts, Full::new(body))).await;
        let response = response.map_err(|error| match error.is_incomplete_message() || is_reset(&error) {
            true => Unanswered::Reset(text(&error)),
            false => Unanswered::Other(text(&error)),
        })?;
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

fn is_reset(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset) {
            return true;
        }
        source = cause.source();
    }
    false
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

fn text(error: &hyper::Error) -> String {
    Chain(error).to_string()
}
