//! Users by certificate: common name is the name, organizations are the groups.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rustls_pki_types::CertificateDer;

use super::{AUTHENTICATED, Refused};
use crate::object::User;
use crate::security::SecurityError;
use crate::security::tls::ChainVerifier;
use crate::security::x509;

/// Verified certificates are remembered, so that a connection's requests do not each verify again.
const REMEMBERED_MAX: usize = 1024;

/// The certificates that one authority vouches for.
pub struct Certificates {
    verifier: ChainVerifier,
    remembered: Mutex<HashMap<Vec<u8>, Known>>,
}

#[derive(Clone)]
struct Known {
    user: Arc<User>,
    until_secs: i64,
}

impl Certificates {
    pub fn of(authority: &CertificateDer<'static>) -> Result<Self, SecurityError> {
        Ok(Self { verifier: ChainVerifier::new(authority)?, remembered: Mutex::default() })
    }

    pub fn user(&self, chain: &[CertificateDer<'static>], now_secs: i64) -> Result<Arc<User>, Refused> {
        let leaf = chain.first().ok_or_else(|| Refused::because("no certificate"))?;
        let mut remembered = self.remembered.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = remembered.get(leaf.as_ref()).filter(|known| now_secs <= known.until_secs) {
            return Ok(known.user.clone());
        }
        self.verifier.accepts(chain, now_secs).map_err(Refused::because)?;
        let facts = x509::facts(leaf).ok_or_else(|| Refused::because("unreadable certificate"))?;
        if facts.common_name.is_empty() {
            return Err(Refused::because("certificate without a common name"));
        }
        let mut user = User { name: facts.common_name, groups: facts.organizations, ..User::default() };
        user.groups.push(AUTHENTICATED.into());
        user.extra.insert(
            "authentication.kubernetes.io/credential-id".into(),
            vec![format!("X509SHA256={}", facts.fingerprint)],
        );
        let known = Known { user: Arc::new(user), until_secs: facts.not_after_secs };
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(leaf.to_vec(), known.clone());
        Ok(known.user)
    }
}
