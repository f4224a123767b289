//! The cluster's own authorities and keys as the signer that controllers ask.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::controllers::runtime::Signer;
use crate::object::view::CertificateRequestSpec;
use crate::object::{Key, Timestamp};
use crate::security::csr;
use crate::security::pki::Pki;
use crate::security::tokens::Claims;

pub struct Signing(pub Arc<Pki>);

impl Signer for Signing {
    fn account_token(&self, secret: &Key, account: &str, uid: &str) -> Result<String, String> {
        let claims = Claims::legacy(secret.namespace(), account, uid, secret.name());
        self.0.token_key.sign(&claims).map_err(|error| error.to_string())
    }

    fn node_of(&self, request: &CertificateRequestSpec) -> Option<String> {
        csr::node_of(&ask(request, &pem(request)))
    }

    fn sign(&self, request: &CertificateRequestSpec, now: Timestamp) -> Option<Result<String, String>> {
        csr::sign(&self.0, &ask(request, &pem(request)), now.as_secs())
    }
}

fn pem(request: &CertificateRequestSpec) -> String {
    BASE64.decode(&request.request).ok().and_then(|pem| String::from_utf8(pem).ok()).unwrap_or_default()
}

fn ask<'a>(request: &'a CertificateRequestSpec, pem: &'a str) -> csr::Ask<'a> {
    csr::Ask {
        signer: &request.signer_name,
        request: pem,
        usages: request.usages.iter().map(String::as_str).collect(),
        lifetime_secs: request.expiration_seconds,
    }
}
