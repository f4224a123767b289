//! One TLS connection to the server, as hyper wants it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to one endpoint, whatever the URI says.
#[derive(Clone)]
pub struct Connector {
    endpoint: Endpoint,
    tls: Arc<rustls::ClientConfig>,
}

impl Connector {
    pub fn new(endpoint: Endpoint, tls: Arc<rustls::ClientConfig>) -> Self {
        let mut tls = Arc::unwrap_or_clone(tls);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { endpoint, tls: Arc::new(tls) }
    }

    async fn connect(self) -> io::Result<TlsIo> {
        let Endpoint { host, port } = &self.endpoint;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        Ok(TlsIo(TokioIo::new(TlsConnector::from(self.tls).connect(name, stream).await?)))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TlsIo;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TlsIo>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.clone().connect());
        Box::pin(async move { connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) })
    }
}

pub struct TlsIo(TokioIo<TlsStream<TcpStream>>);

impl Connection for TlsIo {
    fn connected(&self) -> Connected {
        let is_http2 = self.0.inner().get_ref().1.alpn_protocol() == Some(b"h2");
        if is_http2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for TlsIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for TlsIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
