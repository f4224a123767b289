//! The certificates of a server, made by the cluster's authorities, which it has; and the kubeconfig it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use futures_util::future::BoxFuture;

use super::{Renewing, Trouble};
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::cmd::cluster::Carrier;
use crate::cmd::kubeconfig::Kubeconfig;
use crate::object::Timestamp;
use crate::security::pki::Pki;

const DAY_SECS: i64 = 24 * 3_600;
/// Authorities are warned of when they have less than this left, every so many looks.
const WARN_BEFORE_SECS: i64 = 365 * DAY_SECS;
const WARN_EVERY_LOOKS: u64 = 7 * 24;

#[derive(Clone)]
pub struct OfServer {
    pki: Arc<Pki>,
    carrier: Carrier,
    kubeconfig: Option<Kubeconfig>,
    /// When the certificate ends that the kubeconfig has.
    written: Arc<AtomicI64>,
    looks: Arc<AtomicU64>,
}

impl OfServer {
    /// `kubeconfig` was written already, with the administrator's certificate of now.
    pub fn new(pki: Arc<Pki>, carrier: Carrier, kubeconfig: Option<Kubeconfig>) -> Self {
        let written = Arc::new(AtomicI64::new(pki.admin.current().ends_secs()));
        Self { pki, carrier, kubeconfig, written, looks: Arc::default() }
    }

    /// Reads and writes files.
    fn renew(&self, now_secs: i64) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let mut is_renewed = false;
        for held in self.pki.held() {
            match held.look(now_secs) {
                Ok(renewed) => is_renewed |= renewed,
                Err(error) => {
                    let ends_secs = held.current().ends_secs();
                    let (path, ends) = (held.path(), Timestamp::from_secs(ends_secs));
                    let message = format!(
                        "cannot renew the certificate {}, which ends at {ends}: {}; it is tried again: see that the \
                         folder can be written and its disk has space",
                        path.display(),
                        Chain(&error)
                    );
                    troubles.push(Trouble { reason: "CertificateNotRenewed", message, ends_secs: Some(ends_secs) });
                }
            }
        }
        if is_renewed {
            self.carrier.reconnect();
        }
        troubles.extend(self.write_kubeconfig());
        if self.looks.fetch_add(1, Ordering::Relaxed).is_multiple_of(WARN_EVERY_LOOKS) {
            troubles.extend(self.old_authorities(now_secs));
        }
        troubles
    }

    fn write_kubeconfig(&self) -> Option<Trouble> {
        let ends_secs = self.pki.admin.current().ends_secs();
        let before = self.written.load(Ordering::Relaxed);
        let kubeconfig = self.kubeconfig.as_ref().filter(|_| before != ends_secs)?;
        match kubeconfig.write(&self.pki) {
            Ok(()) => {
                self.written.store(ends_secs, Ordering::Relaxed);
                tracing::info!("the kubeconfig has the administrator's new certificate");
                None
            }
            Err(error) => {
                let ends = Timestamp::from_secs(before);
                let message = format!(
                    "cannot write the administrator's new certificate into the kubeconfig, whose own ends at {ends}: \
                     {error:#}; it is tried again"
                );
                Some(Trouble { reason: "KubeconfigNotRenewed", message, ends_secs: Some(before) })
            }
        }
    }

    fn old_authorities(&self, now_secs: i64) -> Vec<Trouble> {
        let old = self.pki.authorities().into_iter().filter_map(|(name, authority)| {
            let ends_secs = authority.ends_secs();
            let left_secs = ends_secs.saturating_sub(now_secs);
            (left_secs < WARN_BEFORE_SECS).then(|| {
                let (ends, days) = (Timestamp::from_secs(ends_secs), left_secs.div_euclid(DAY_SECS));
                let message = format!(
                    "the authority {name} ends at {ends}, in {days} days by this machine's clock, and all that it \
                     signed with it; authorities are not renewed: found a new cluster before that, and restore a \
                     snapshot of this one there (docs/certificates.md)"
                );
                Trouble { reason: "AuthorityEnds", message, ends_secs: None }
            })
        });
        old.collect()
    }
}

impl Renewing for OfServer {
    fn look(&self, now_secs: i64) -> BoxFuture<'static, Vec<Trouble>> {
        let own = self.clone();
        Box::pin(Scope::blocking(move || own.renew(now_secs)))
    }
}
