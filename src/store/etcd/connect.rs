//! Connections to one endpoint of etcd: TCP, and TLS if its address says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint as Settings};

use super::error::EtcdErrorKind;
use crate::base::address;

const CONNECT_MAX: Duration = Duration::from_secs(3);
/// etcd by default closes connections that are asked for life signs more often than every 5 s.
const LIFE_SIGN_EVERY: Duration = Duration::from_secs(10);
const LIFE_SIGN_MAX: Duration = Duration::from_secs(5);
/// Of an answer to a page of objects, all as large as they may be, and an event of the largest command.
pub(super) const ANSWER_BYTES_MAX: usize = 512 << 20;

/// Where an etcd listens for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub is_tls: bool,
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", address::join(&self.host, self.port))
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct Unconnected {
    pub kind: EtcdErrorKind,
    pub why: String,
}

/// A connection that is made when it is needed, and again when it broke.
pub(super) fn channel(endpoint: &Endpoint, tls: Option<&rustls::ClientConfig>) -> Channel {
    let tls = tls.filter(|_| endpoint.is_tls).map(|config| {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    });
    let connector = Connector { endpoint: Arc::new(endpoint.clone()), tls };
    // TLS is the connector's, so that the channel knows of plain connections only; nobody looks this up.
    Settings::from_static("http://etcd")
        .http2_keep_alive_interval(LIFE_SIGN_EVERY)
        .keep_alive_timeout(LIFE_SIGN_MAX)
        .http2_adaptive_window(true)
        .connect_with_connector_lazy(connector)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[derive(Clone)]
struct Connector {
    endpoint: Arc<Endpoint>,
    tls: Option<TlsConnector>,
}

impl Connector {
    async fn connect(self) -> Result<TokioIo<Box<dyn Stream>>, Unconnected> {
        let connecting = async {
            let unreachable =
                |why: std::io::Error| Unconnected { kind: EtcdErrorKind::Unreachable, why: why.to_string() };
            let target = (self.endpoint.host.as_str(), self.endpoint.port);
            let plain = TcpStream::connect(target).await.map_err(unreachable)?;
            plain.set_nodelay(true).map_err(unreachable)?;
            let Some(tls) = self.tls else { return Ok(TokioIo::new(Box::new(plain) as Box<dyn Stream>)) };
            let name = ServerName::try_from(self.endpoint.host.clone())
                .map_err(|error| Unconnected { kind: EtcdErrorKind::Tls, why: error.to_string() })?;
            let stream = tls.connect(name, plain).await.map_err(|error| unfit(&error))?;
            Ok(TokioIo::new(Box::new(stream) as Box<dyn Stream>))
        };
        let late =
            |_| Err(Unconnected { kind: EtcdErrorKind::Unreachable, why: format!("no answer in {CONNECT_MAX:?}") });
        tokio::time::timeout(CONNECT_MAX, connecting).await.unwrap_or_else(late)
    }
}

/// Why a handshake failed.
fn unfit(error: &std::io::Error) -> Unconnected {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let kind = match cause {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => EtcdErrorKind::Untrusted,
        Some(rustls::Error::AlertReceived(_)) => EtcdErrorKind::Certificate,
        _ => EtcdErrorKind::Tls,
    };
    Unconnected { kind, why: error.to_string() }
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = Unconnected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}
