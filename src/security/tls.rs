//! TLS for both ends, with ring as the only cryptography.
//!
//! The server asks clients for a certificate but lets everybody finish the handshake: whether a
//! certificate is any good is decided per request, so that a bad one is answered with 401 instead
//! of a broken connection. Clients must have proved that they hold the certificate's key.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::current::Current;
use super::{Identity, SecurityError};

/// HTTP/2 first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// How to listen: certificates are asked for, naming `authorities`, and left to be judged later.
pub fn server_config(
    serving: Arc<Current>,
    authorities: &[&CertificateDer<'static>],
) -> Result<Arc<ServerConfig>, SecurityError> {
    let verifier = AnyHolder { hints: hints(authorities), algorithms: provider().signature_verification_algorithms };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(serving);
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

/// How to call a server that `authority_pem` vouches for, as whoever `current` is when a connection is made.
pub fn client_config_as(authority_pem: &str, current: Arc<Current>) -> Result<ClientConfig, SecurityError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(authority_pem)?);
    let mut config = builder.with_client_cert_resolver(current);
    // A session that is taken up again is that of the certificate which was shown when it began.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// How to call a server that `authority_pem` vouches for, as `identity` if one is given.
pub fn client_config(authority_pem: &str, identity: Option<&Identity>) -> Result<ClientConfig, SecurityError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(authority_pem)?);
    Ok(match identity {
        Some(identity) => builder.with_client_auth_cert(certificates(&identity.certificate)?, key(&identity.key)?)?,
        None => builder.with_no_client_auth(),
    })
}

/// How to call a server that nobody vouches for: the connection is private, but with whom is unknown.
/// Only for proxying to pods and services, whose certificates are their own business.
pub fn unverified_client_config(identity: Option<&Identity>) -> Result<ClientConfig, SecurityError> {
    let verifier = AnyServer { algorithms: provider().signature_verification_algorithms };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(match identity {
        Some(identity) => builder.with_client_auth_cert(certificates(&identity.certificate)?, key(&identity.key)?)?,
        None => builder.with_no_client_auth(),
    })
}

/// Judges clients' certificates by one authority.
pub struct ChainVerifier(Arc<dyn ClientCertVerifier>);

impl ChainVerifier {
    pub fn new(authority: &CertificateDer<'static>) -> Result<Self, SecurityError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Ok(Self(verifier.map_err(|error| SecurityError::damaged("the client authority", error))?))
    }

    /// Whether the first certificate of `chain` is a client's that the authority signed and that is
    /// good at `now_secs`; the others may stand in between.
    pub fn accepts(&self, chain: &[CertificateDer<'_>], now_secs: i64) -> Result<(), rustls::Error> {
        let Some((leaf, between)) = chain.split_first() else { return Err(rustls::Error::NoCertificatesPresented) };
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_secs.max(0) as u64));
        self.0.verify_client_cert(leaf, between, now).map(|_| ())
    }
}

/// Accepts every certificate whose key the client holds.
#[derive(Debug)]
struct AnyHolder {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyHolder {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts every certificate whose key the server holds.
#[derive(Debug)]
struct AnyServer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn roots(authority_pem: &str) -> Result<RootCertStore, SecurityError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authority_pem)? {
        roots.add(authority)?;
    }
    Ok(roots)
}

fn hints(authorities: &[&CertificateDer<'static>]) -> Vec<DistinguishedName> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is no hint; judging by it fails where it is used.
    roots.add_parsable_certificates(authorities.iter().map(|authority| (*authority).clone()));
    roots.subjects()
}

/// What TLS shows; refused if the key is not that of the certificate.
pub(super) fn certified(identity: &Identity) -> Result<CertifiedKey, SecurityError> {
    let key = provider().key_provider.load_private_key(key(&identity.key)?)?;
    let certified = CertifiedKey::new(certificates(&identity.certificate)?, key);
    certified.keys_match()?;
    Ok(certified)
}

pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| SecurityError::damaged("a certificate", error))
}

fn key(pem: &str) -> Result<PrivateKeyDer<'static>, SecurityError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| SecurityError::damaged("a private key", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::ca::{Authority, Subject};

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn only_living_client_certificates_of_the_authority_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let at = |end: &str| folder.path().join(format!("{name}.{end}"));
            Authority::open(&at("crt"), &at("key"), name, NOW).unwrap()
        };
        let (ours, theirs) = (open("ours"), open("theirs"));
        let verifier = ChainVerifier::new(ours.der()).unwrap();
        let accepts = |authority: &Authority, subject: &Subject, now| {
            let identity = authority.issue(subject, NOW).unwrap();
            verifier.accepts(&certificates(&identity.certificate).unwrap(), now).is_ok()
        };
        let client = Subject::client("bob", "ops");
        assert!(accepts(&ours, &client, NOW));
        assert!(!accepts(&theirs, &client, NOW));
        assert!(!accepts(&ours, &client, NOW + 400 * 24 * 3600));
        assert!(!accepts(&ours, &Subject::server("web", vec!["web".into()]), NOW));
    }
}
