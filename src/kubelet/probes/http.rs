//! One HTTP request to a container: for probes and for lifecycle hooks.
//!
//! Certificates are not checked: a probe asks whether someone answers, not who.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;

use crate::kubelet::spec::container::HttpHeader;

/// No more of an answer is read.
const BODY_BYTES_MAX: usize = 10 << 10;
const REDIRECTS_MAX: usize = 10;

/// Where and how to ask.
#[derive(Clone, Debug)]
pub struct Request {
    pub is_https: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
    pub headers: Vec<HttpHeader>,
    pub user_agent: &'static str,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub body: String,
    /// Where to, if it is a redirect to another host, which is not followed.
    pub elsewhere: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)")]
    Timeout { url: String },
    #[error("Get {url:?}: {why}")]
    Failed { url: String, why: String },
}

impl Request {
    pub fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", bracketed(&self.host), self.port, self.path)
    }

    /// Sends it and follows redirects on the same host, all within `limit`.
    pub async fn send(mut self, limit: Duration) -> Result<Answer, HttpError> {
        let url = self.url();
        let run = async {
            for _ in 0..REDIRECTS_MAX {
                let (answer, location) = self.once().await?;
                match location.filter(|_| (300..400).contains(&answer.code)) {
                    Some(location) => match self.redirected(&location) {
                        Some(next) => self = next,
                        None => return Ok(Answer { elsewhere: Some(location), ..answer }),
                    },
                    None => return Ok(answer),
                }
            }
            Err(format!("stopped after {REDIRECTS_MAX} redirects"))
        };
        match tokio::time::timeout(limit, run).await {
            Ok(done) => done.map_err(|why| HttpError::Failed { url, why }),
            Err(_) => Err(HttpError::Timeout { url }),
        }
    }

    async fn once(&self) -> Result<(Answer, Option<String>), String> {
        let address = format!("{}:{}", bracketed(&self.host), self.port);
        let tcp = TcpStream::connect(&address).await.map_err(|error| dial_error(&address, &error))?;
        if !self.is_https {
            return self.exchange(TokioIo::new(tcp)).await;
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let tls = tokio_rustls::TlsConnector::from(Arc::new(unverified()?));
        let stream = tls.connect(name, tcp).await.map_err(|error| error.to_string())?;
        self.exchange(TokioIo::new(stream)).await
    }

    async fn exchange<S>(&self, io: TokioIo<S>) -> Result<(Answer, Option<String>), String>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(|error| error.to_string())?;
        let mut request = hyper::Request::get(&self.path);
        let own = |name: &str| self.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
        if !own("Host") {
            request = request.header("Host", format!("{}:{}", bracketed(&self.host), self.port));
        }
        for (name, value) in [("User-Agent", self.user_agent), ("Accept", "*/*"), ("Connection", "close")] {
            if !own(name) {
                request = request.header(name, value);
            }
        }
        // An empty value takes a default header away.
        for header in self.headers.iter().filter(|header| !header.value.is_empty()) {
            request = request.header(&header.name, &header.value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let code = response.status().as_u16();
            let location = response.headers().get("Location").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
            let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
            Ok((Answer { code, body, elsewhere: None }, location))
        };
        tokio::pin!(exchange, connection);
        // The connection must be driven while the answer is awaited; it ends first when it fails.
        tokio::select! {
            done = &mut exchange => done,
            ended = &mut connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// The request that `location` asks for; `None` if it is for another host.
    fn redirected(&self, location: &str) -> Option<Self> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(Self { path: location.to_owned(), ..self.clone() });
        }
        let uri: hyper::Uri = location.parse().ok()?;
        let is_https = uri.scheme_str()? == "https";
        let host = uri.host()?.trim_matches(['[', ']']);
        (host == self.host).then(|| Self {
            is_https,
            port: uri.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/".to_owned(), ToString::to_string),
            ..self.clone()
        })
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A failed dial in the words users know.
pub fn dial_error(address: &str, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {why}")
}

fn unverified() -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verifier = Arc::new(AnyServer(provider));
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct AnyServer(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls_pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls_pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
