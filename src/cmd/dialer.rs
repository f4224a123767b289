//! How the API reaches kubelets, pods and services of this cluster.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::api::subresources::connect::{BoxWire, Dialer};
use crate::security::pki::Pki;
use crate::security::{SecurityError, tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects directly: everything is on networks of this machine.
pub struct Direct {
    kubelets: Arc<ClientConfig>,
    anybody: Arc<ClientConfig>,
}

impl Direct {
    pub fn new(pki: &Pki) -> Result<Self, SecurityError> {
        let kubelets = tls::client_config_as(pki.server_ca.pem(), pki.kubelet_client.current().clone())?;
        Ok(Self { kubelets: Arc::new(kubelets), anybody: Arc::new(tls::unverified_client_config(None)?) })
    }
}

impl Dialer for Direct {
    fn kubelet<'a>(&'a self, _node: &'a str, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxWire>> {
        Box::pin(in_time(connect_tls(self.kubelets.clone(), host, port)))
    }

    fn address<'a>(&'a self, host: &'a str, port: u16, tls: bool) -> BoxFuture<'a, io::Result<BoxWire>> {
        Box::pin(in_time(async move {
            if tls {
                return connect_tls(self.anybody.clone(), host, port).await;
            }
            Ok(Box::new(connect(host, port).await?) as BoxWire)
        }))
    }
}

async fn connect_tls(config: Arc<ClientConfig>, host: &str, port: u16) -> io::Result<BoxWire> {
    let stream = connect(host, port).await?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn in_time(connecting: impl Future<Output = io::Result<BoxWire>>) -> io::Result<BoxWire> {
    tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
