//! One request at a time over a connection of its own, tried again where that may help.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{S3Error, Settings};
use crate::base::backoff::Backoff;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::security::tls;

const TRIES_MAX: u32 = 5;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(8));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one request: a part is a few megabytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Where distributions keep the authorities that everybody trusts.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) struct Http {
    /// As it is given, for errors.
    endpoint: String,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    scope: Scope,
}

/// A request, signed.
pub(super) type Sent = Request<Full<Bytes>>;

/// An answer that was read as a whole.
pub(super) struct Answer {
    pub status: StatusCode,
    pub etag: String,
    body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// For one that listens at `address`.
    pub fn new(settings: &Settings, address: &Authority) -> Result<Self, S3Error> {
        let failed = |why: String| S3Error::Tls { why };
        let config = match (settings.insecure, settings.skip_verify, &settings.ca_pem) {
            (true, ..) => None,
            (false, true, _) => Some(tls::unverified_client_config(None)),
            (false, false, Some(pem)) => Some(tls::client_config(pem, None)),
            (false, false, None) => {
                let bundle = BUNDLES.iter().find_map(|path| std::fs::read_to_string(path).ok());
                let bundle = bundle.ok_or_else(|| {
                    failed(
                        "this machine has no list of authorities: install ca-certificates, or give --s3-endpoint-ca"
                            .into(),
                    )
                })?;
                Some(tls::client_config(&bundle, None))
            }
        };
        let config = config.transpose().map_err(|error| failed(Chain(&error).to_string()))?;
        let tls = config.map(|config| TlsConnector::from(Arc::new(config)));
        Ok(Self {
            endpoint: settings.endpoint.clone(),
            host: address.host().trim_matches(['[', ']']).to_owned(),
            port: address.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
            tls,
            scope: Scope::root("s3"),
        })
    }

    /// Sends what `make` makes and reads the answer. Whatever may be better the next time is tried again.
    pub async fn send(&self, make: impl Fn() -> Result<Sent, S3Error>, limit: usize) -> Result<Answer, S3Error> {
        let sending = || async {
            let (head, body) = self.open(make()?).await?.into_parts();
            let read = Limited::new(body, limit).collect().await.map_err(|error| self.unreachable(error))?;
            let etag =
                head.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
            Ok(Answer { status: head.status, etag, body: read.to_bytes() })
        };
        let mut tried = 1;
        loop {
            let answer: Result<Answer, S3Error> = tokio::time::timeout(REQUEST_TIMEOUT, sending())
                .await
                .unwrap_or_else(|late| Err(self.unreachable(late)));
            let again = match &answer {
                Ok(answer) => is_passing(answer.status),
                Err(error) => matches!(error, S3Error::Unreachable { .. }),
            };
            if !again || tried == TRIES_MAX {
                return answer;
            }
            tokio::time::sleep(BACKOFF.delay(tried)).await;
            tried += 1;
        }
    }

    /// Sends it once; the answer's body is still to be read.
    pub async fn open(&self, request: Sent) -> Result<Response<Incoming>, S3Error> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((self.host.as_str(), self.port)));
        let stream =
            connecting.await.map_err(|late| self.unreachable(late))?.map_err(|error| self.unreachable(error))?;
        match &self.tls {
            None => self.exchange(stream, request).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|error| self.unreachable(error))?;
                let stream = tls.connect(name, stream).await.map_err(|error| self.unreachable(error))?;
                self.exchange(stream, request).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, request: Sent) -> Result<Response<Incoming>, S3Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(|error| self.unreachable(error))?;
        self.scope.spawn("connection", async move {
            let _ = connection.await; // whoever waits for the answer hears of it
        });
        sender.send_request(request).await.map_err(|error| self.unreachable(error))
    }

    pub fn unreachable(&self, why: impl std::fmt::Display) -> S3Error {
        S3Error::Unreachable { endpoint: self.endpoint.clone(), why: why.to_string() }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

/// Whether another try may end better.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}
