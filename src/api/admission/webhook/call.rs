//! Calls out of the API server: JSON there and back over HTTPS, within a time limit.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};

use crate::api::outgoing;
use crate::api::outgoing::pool::{Dial, Peer, Pool};
use crate::api::subresources::connect::Dialer;
use crate::base::error::Chain;
use crate::base::rand::RandRef;
use crate::base::service::Scope;
use crate::object::tree::{Tree, TreePath};
use crate::object::{GroupResource, Key};
use crate::security::tls;
use crate::store::{KeyRange, State, Store};

/// Longer answers are not read.
const ANSWER_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Calls webhooks of every kind.
pub struct Caller {
    store: Store,
    pool: Pool,
    rand: RandRef,
}

/// Where a client config leads.
#[derive(Debug, PartialEq)]
pub struct Place {
    /// As it is told in errors.
    pub url: String,
    /// The name that the certificate has to be for.
    pub host: String,
    pub port: u16,
    /// What the Host header says: a service's name and port, and of a URL what stands there.
    authority: String,
    path: String,
    /// Namespace and name, for services.
    service: Option<(String, String)>,
}

impl Place {
    /// Reads `url` or `service` of a client config.
    pub fn of(config: &Tree) -> Option<Self> {
        if config.has("service") {
            let (namespace, name) = (config.text("service.namespace"), config.text("service.name"));
            let port = config.int("service.port").and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
            let path = format!("/{}", config.text("service.path").trim_start_matches('/'));
            let host = format!("{name}.{namespace}.svc");
            let authority = format!("{host}:{port}");
            let url = format!("https://{authority}{path}");
            return Some(Self { url, host, port, authority, path, service: Some((namespace.into(), name.into())) });
        }
        let url = config.text("url");
        let uri = url.parse::<http::Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"))?;
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let authority = uri.authority()?.as_str().into();
        Some(Self { url: url.into(), host, port, authority, path: uri.path().into(), service: None })
    }
}

/// Why a call came to nothing.
#[derive(Debug)]
pub struct CallError {
    pub why: String,
    /// The answer's, or that of a service which is not there.
    pub code: u16,
}

impl From<String> for CallError {
    fn from(why: String) -> Self {
        Self { why, code: 503 }
    }
}

impl Caller {
    pub fn new(store: Store, dialer: Arc<dyn Dialer>, scope: Scope, rand: RandRef) -> Self {
        let tls = |ca_bundle: &str| {
            tls::client_config(&authorities(ca_bundle)?, None).map_err(|error| Chain(&error).to_string())
        };
        Self { store, pool: Pool::new(scope, by_dialer(dialer), Box::new(tls)), rand }
    }

    /// Posts `body` to where `config` leads; the error says what went wrong on the way.
    pub async fn post(&self, config: &Tree, body: &Tree, timeout: Duration) -> Result<Tree, CallError> {
        let place = Place::of(config);
        let place = place.ok_or_else(|| "the client config has neither a valid url nor a service".to_owned())?;
        let url = format!("{}?timeout={}s", place.url, timeout.as_secs().max(1));
        let failed = |error: CallError| CallError { why: format!("Post {url:?}: {}", error.why), ..error };
        match tokio::time::timeout(timeout, self.exchange(&place, config.text("caBundle"), body, timeout)).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed("context deadline exceeded".to_owned().into())),
        }
    }

    async fn exchange(
        &self,
        place: &Place,
        ca_bundle: &str,
        body: &Tree,
        timeout: Duration,
    ) -> Result<Tree, CallError> {
        let (address, port) = match &place.service {
            Some((namespace, name)) => self.backend(namespace, name, place.port)?,
            None => (place.host.clone(), place.port),
        };
        let peer = Peer { address, port, name: place.host.clone(), trust: ca_bundle.into() };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}?timeout={}s", place.path, timeout.as_secs().max(1)))
            .header(header::HOST, &place.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*")
            .header(header::USER_AGENT, "kube-apiserver-admission")
            .body(Bytes::from(body.to_string()))
            .map_err(text)?;
        let response = self.pool.send(&peer, request).await.map_err(text)?;
        let code = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(text)?.to_bytes();
        if !code.is_success() {
            let why = match code.as_u16() {
                404 => "the server could not find the requested resource".into(),
                code => format!(
                    "an error on the server ({:?}) has prevented the request from succeeding (code {code})",
                    shown(&bytes)
                ),
            };
            return Err(CallError { why, code: code.as_u16() });
        }
        let answer = serde_json::from_slice(&bytes);
        Ok(answer.map_err(|error| format!("couldn't get version/kind; json parse error: {error}"))?)
    }

    /// The address of one of the pods behind a service.
    pub(in crate::api) fn backend(&self, namespace: &str, name: &str, port: u16) -> Result<(String, u16), String> {
        let state = self.store.state();
        let found = backends(&state, namespace, name, port)?;
        let pick = (self.rand.next_u64() % found.len().max(1) as u64) as usize;
        found.into_iter().nth(pick).ok_or_else(|| format!("no endpoints available for service {name:?}"))
    }
}

/// Connections within the cluster.
pub(in crate::api) fn by_dialer(dialer: Arc<dyn Dialer>) -> Dial {
    Box::new(move |address, port| {
        let dialer = dialer.clone();
        Box::pin(async move { dialer.address(&address, port, false).await })
    })
}

/// Every ready address behind a port of a service.
fn backends(state: &State, namespace: &str, name: &str, port: u16) -> Result<Vec<(String, u16)>, String> {
    let service = state.get(&Key::of("services", namespace, name));
    let service = service.ok_or_else(|| format!("service {name:?} not found"))?.tree();
    let ports = service.items("spec.ports");
    let wanted = ports.iter().find(|one| one.int("port") == Some(port.into()));
    let wanted = wanted.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let slices = GroupResource::new("discovery.k8s.io", "endpointslices");
    let mut found = Vec::new();
    for slice in state.range(&KeyRange::namespace(&slices, namespace)) {
        if slice.meta().label("kubernetes.io/service-name") != Some(name) {
            continue;
        }
        let slice = slice.tree();
        let port = slice.items("ports").iter().find(|port| port.text("name") == wanted.text("name"));
        let Some(port) = port.and_then(|port| u16::try_from(port.int("port")?).ok()) else { continue };
        for endpoint in slice.items("endpoints").iter().filter(|one| one.flag("conditions.ready") != Some(false)) {
            found.extend(endpoint.items("addresses").iter().filter_map(|a| Some((a.as_str()?.to_owned(), port))));
        }
    }
    Ok(found)
}

/// The certificates to trust, in PEM.
pub(in crate::api) fn authorities(ca_bundle: &str) -> Result<String, String> {
    if ca_bundle.is_empty() {
        return outgoing::system_roots();
    }
    let pem = BASE64_STANDARD.decode(ca_bundle).map_err(|error| format!("bad caBundle: {error}"))?;
    String::from_utf8(pem).map_err(|error| format!("bad caBundle: {error}"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn services_and_urls_lead_somewhere() {
        let place = Place::of(&json!({"service": {"namespace": "ns", "name": "hook", "path": "/check"}})).unwrap();
        assert_eq!((place.url.as_str(), place.host.as_str()), ("https://hook.ns.svc:443/check", "hook.ns.svc"));
        let place = Place::of(&json!({"url": "https://h.example.com:8443/x"})).unwrap();
        assert_eq!((place.host.as_str(), place.port, place.path.as_str()), ("h.example.com", 8443, "/x"));
        let place = Place::of(&json!({"url": "https://[2001:db8::1]/x"})).unwrap();
        assert_eq!((place.host.as_str(), place.port, place.authority.as_str()), ("2001:db8::1", 443, "[2001:db8::1]"));
        assert_eq!(Place::of(&json!({"url": "nonsense"})), None);
    }
}
