//! The cluster's own authorities as the signer that the certificate controller asks.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::controllers::runtime::Signer;
use crate::object::Timestamp;
use crate::object::view::CertificateRequestSpec;
use crate::security::csr;
use crate::security::pki::Pki;

pub struct Signing(pub Arc<Pki>);

impl Signer for Signing {
    fn sign(&self, request: &CertificateRequestSpec, now: Timestamp) -> Option<Result<String, String>> {
        let pem = BASE64.decode(&request.request).ok().and_then(|pem| String::from_utf8(pem).ok()).unwrap_or_default();
        let ask = csr::Ask {
            signer: &request.signer_name,
            request: &pem,
            usages: request.usages.iter().map(String::as_str).collect(),
            lifetime_secs: request.expiration_seconds,
        };
        csr::sign(&self.0, &ask, now.as_secs())
    }
}
