//! One request on its way, and who sent it.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::{Method, Uri};
use rustls_pki_types::CertificateDer;

use crate::object::User;

use super::flow::Class;
use super::negotiate::{self, Format, Shape};
use super::request::{RequestLine, truth};

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// What it proved to be with TLS; empty if it sent no certificate.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// One request on its way: what every step may look at.
pub struct Exchange {
    pub line: RequestLine,
    pub uri: Uri,
    pub method: Method,
    pub headers: HeaderMap,
    pub user: Arc<User>,
    pub peer: Arc<Peer>,
    /// Where it belongs by priority and fairness, once that is known.
    pub class: Option<Arc<Class>>,
}

impl Exchange {
    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the client asked for indented output.
    pub fn pretty(&self) -> bool {
        match self.line.param("pretty") {
            Some(value) => truth(value),
            // People with a terminal or browser read better with line breaks.
            None => {
                ["curl", "Wget", "Mozilla/5.0"].iter().any(|agent| self.header(header::USER_AGENT).starts_with(agent))
            }
        }
    }

    /// The format that errors are told in: what the client can read, else JSON.
    pub(super) fn error_format(&self) -> Format {
        let accepted = negotiate::accept(self.header(header::ACCEPT), self.pretty());
        accepted.map_or(Format::JSON, |format| Format { shape: Shape::Whole, ..format })
    }

    pub(super) fn accepts_gzip(&self) -> bool {
        self.header(header::ACCEPT_ENCODING)
            .split(',')
            .any(|coding| coding.split(';').next().is_some_and(|c| c.trim() == "gzip"))
    }
}
