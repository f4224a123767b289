//! An identity that is in use and may be replaced meanwhile: whoever makes a connection shows the one of now.
//!
//! Connections that exist go on with what they have shown. So they must be made anew at some time: a server that
//! judges each request, as ours does, refuses them once that certificate is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Identity, SecurityError, tls, x509};

/// What is shown, to clients and to servers.
#[derive(Debug)]
pub struct Current {
    shown: ArcSwap<Shown>,
    failures: AtomicU64,
}

struct Shown {
    identity: Identity,
    certified: Arc<CertifiedKey>,
    ends_secs: i64,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("ends_secs", &self.ends_secs).finish_non_exhaustive()
    }
}

impl Shown {
    fn new(identity: Identity) -> Result<Self, SecurityError> {
        let certified = Arc::new(tls::certified(&identity)?);
        let facts = certified.cert.first().and_then(|leaf| x509::facts(leaf));
        let facts = facts.ok_or_else(|| SecurityError::damaged("a certificate", "it cannot be read"))?;
        Ok(Self { identity, certified, ends_secs: facts.not_after_secs })
    }
}

impl Current {
    pub fn new(identity: Identity) -> Result<Arc<Self>, SecurityError> {
        Ok(Arc::new(Self { shown: ArcSwap::from_pointee(Shown::new(identity)?), failures: AtomicU64::new(0) }))
    }

    /// New connections get this one. One that cannot be used is refused, and the old one stays.
    pub fn replace(&self, identity: Identity) -> Result<(), SecurityError> {
        self.shown.store(Arc::new(Shown::new(identity)?));
        Ok(())
    }

    pub fn identity(&self) -> Identity {
        self.shown.load().identity.clone()
    }

    /// The last moment of its certificate, in seconds since 1970.
    pub fn ends_secs(&self) -> i64 {
        self.shown.load().ends_secs
    }

    /// Another try to renew it failed.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load().certified.clone())
    }
}

impl ResolvesClientCert for Current {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certified = self.shown.load().certified.clone();
        certified.key.choose_scheme(schemes).is_some().then_some(certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
