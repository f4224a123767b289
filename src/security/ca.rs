//! A certificate authority of our own: its key, and the certificates it signs.

use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::{Identity, SecurityError, random_bytes, x509};
use crate::base::fs;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3650);
pub const LEAF_LIFETIME: Duration = DAY.saturating_mul(365);
/// Leaves are made anew when they have less than this left: a third of their life. What one has left says when it is
/// due, and not how long it is good, because it is good from the first moment of its authority on.
pub const RENEW_BEFORE: Duration = Duration::from_secs(LEAF_LIFETIME.as_secs() / 3);
/// Clocks of a cluster's machines may differ by so much when it is founded.
const SKEW_SECS: i64 = 60 * 60;
/// The same for certificates that somebody asked for by a CertificateSigningRequest, as upstream has it: they
/// may be good for as short as ten minutes.
const REQUESTED_SKEW_SECS: i64 = 5 * 60;

/// Of 2026, when this was written: a machine that says it is earlier has lost the time with its power. An
/// authority that it made would be no good to anybody who knows the time.
const EARLIEST_SECS: i64 = 1_767_225_600;

/// A key that signs certificates, and the certificate that says so.
///
/// What it signs is good from its own first moment on, whatever the time is now: a machine whose clock was
/// ahead when it started serves as before when it is set right, and others may be behind by as much as the
/// cluster is old. To a clock that says the authority does not exist yet, its first moment is now.
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    subject: String,
    since_secs: i64,
    ends_secs: i64,
    issuer: Issuer<'static, KeyPair>,
}

/// Who a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The user's name.
    pub common_name: String,
    /// The user's group, or nothing. The library that makes certificates knows one at most.
    pub organization: String,
    /// Names and addresses it serves; without any it is no server's.
    pub sans: Vec<String>,
    pub is_client: bool,
}

impl Subject {
    pub fn client(name: &str, group: &str) -> Self {
        Self { common_name: name.into(), organization: group.into(), sans: Vec::new(), is_client: true }
    }

    pub fn server(name: &str, mut sans: Vec<String>) -> Self {
        sans.sort();
        sans.dedup();
        Self { common_name: name.into(), sans, ..Self::default() }
    }
}

impl Authority {
    /// Takes the authority from its two files, or makes it and them.
    pub fn open(certificate: &Path, key: &Path, name: &str, now_secs: i64) -> Result<Self, SecurityError> {
        match (fs::read_if_there(certificate)?, fs::read_if_there(key)?) {
            (Some(pem), Some(key_pem)) => Self::from_pem(&pem, &key_pem)
                .map_err(|why| SecurityError::damaged(certificate.display().to_string(), why)),
            (None, None) if now_secs < EARLIEST_SECS => Err(SecurityError::Clock { day: day(now_secs) }),
            (None, None) => {
                let (pem, key_pem) = make(name, now_secs).map_err(making(name))?;
                fs::write_atomic(key, key_pem.as_bytes(), 0o600)?;
                fs::write_atomic(certificate, pem.as_bytes(), 0o600)?;
                Self::from_pem(&pem, &key_pem).map_err(making(name))
            }
            // The key is written first, so a lone one is a first start that was cut off; but to make
            // a new authority beside a lone certificate would cut off every member of the cluster.
            (None, Some(_)) => {
                std::fs::remove_file(key).map_err(|error| SecurityError::damaged(key.display().to_string(), error))?;
                Self::open(certificate, key, name, now_secs)
            }
            (Some(_), None) => {
                Err(SecurityError::damaged(key.display().to_string(), "missing, but its certificate is there"))
            }
        }
    }

    pub fn from_pem(pem: &str, key_pem: &str) -> Result<Self, rcgen::Error> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        let facts = x509::facts(&der).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        let issuer = Issuer::from_ca_cert_der(&der, KeyPair::from_pem(key_pem)?)?;
        let (since_secs, ends_secs) = (facts.not_before_secs, facts.not_after_secs);
        Ok(Self { pem: pem.to_owned(), der, subject: facts.common_name, since_secs, ends_secs, issuer })
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its last moment, and that of all it signed.
    pub fn ends_secs(&self) -> i64 {
        self.ends_secs
    }

    /// A new key and certificate for `subject`.
    pub fn issue(&self, subject: &Subject, now_secs: i64) -> Result<Identity, SecurityError> {
        let make = || {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(subject.sans.clone())?;
            params.distinguished_name = subject.name();
            params.extended_key_usages = subject.usages();
            self.set_times(&mut params, now_secs, LEAF_LIFETIME);
            set_leaf(&mut params);
            Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
        };
        let (certificate, key) = make().map_err(making(&subject.common_name))?;
        Ok(Identity { certificate, key })
    }

    /// Signs somebody else's key, taken from a PEM certificate request; everything else that the
    /// request says is replaced by `subject`.
    pub fn sign_request(
        &self,
        request: &str,
        subject: &Subject,
        lifetime: Duration,
        now_secs: i64,
    ) -> Result<String, SecurityError> {
        let sign = || {
            let mut request = CertificateSigningRequestParams::from_pem(request)?;
            let mut params = CertificateParams::new(subject.sans.clone())?;
            params.distinguished_name = subject.name();
            params.extended_key_usages = subject.usages();
            self.set_times(&mut params, now_secs, lifetime);
            set_leaf(&mut params);
            request.params = params;
            Ok(request.signed_by(&self.issuer)?.pem())
        };
        sign().map_err(making(&subject.common_name))
    }

    /// Signs a PEM certificate request for the subject and the names in it, and for these usages.
    pub fn sign_as_requested(
        &self,
        request: &str,
        usages: Vec<KeyUsagePurpose>,
        extended: Vec<ExtendedKeyUsagePurpose>,
        lifetime: Duration,
        now_secs: i64,
    ) -> Result<String, SecurityError> {
        let sign = || {
            let mut request = CertificateSigningRequestParams::from_pem(request)?;
            set_span(&mut request.params, now_secs - REQUESTED_SKEW_SECS, lifetime, now_secs);
            set_leaf(&mut request.params);
            request.params.key_usages = usages;
            request.params.extended_key_usages = extended;
            Ok(request.signed_by(&self.issuer)?.pem())
        };
        sign().map_err(making("a certificate request"))
    }

    /// The identity in two files, made anew if it is missing, somebody else's, signed by another
    /// authority, or has less than [`RENEW_BEFORE`] left.
    pub fn keep(
        &self,
        certificate: &Path,
        key: &Path,
        subject: &Subject,
        now_secs: i64,
    ) -> Result<Identity, SecurityError> {
        if let (Some(pem), Some(key_pem)) = (fs::read_if_there(certificate)?, fs::read_if_there(key)?)
            && self.still_good(&pem, &key_pem, subject, now_secs)
        {
            return Ok(Identity { certificate: pem, key: key_pem });
        }
        let identity = self.issue(subject, now_secs)?;
        fs::write_atomic(key, identity.key.as_bytes(), 0o600)?;
        fs::write_atomic(certificate, identity.certificate.as_bytes(), 0o600)?;
        tracing::info!(subject = subject.common_name, certificate = %certificate.display(), "made a certificate");
        Ok(identity)
    }

    fn set_times(&self, params: &mut CertificateParams, now_secs: i64, lifetime: Duration) {
        set_span(params, self.since_secs, lifetime, now_secs.max(self.since_secs));
    }

    fn still_good(&self, pem: &str, key_pem: &str, subject: &Subject, now_secs: i64) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
        let Some(facts) = x509::facts(&der) else { return false };
        let Ok(key) = KeyPair::from_pem(key_pem) else { return false };
        facts.common_name == subject.common_name
            && facts.organizations.concat() == subject.organization
            && facts.sans == subject.sans
            && facts.issuer == format!("CN={}", self.subject)
            && contains(&der, key.public_key_raw())
            && facts.not_before_secs <= now_secs.max(self.since_secs)
            && !is_due(facts.not_after_secs, now_secs)
    }
}

/// Whether a leaf that ends then should be renewed now.
pub fn is_due(ends_secs: i64, now_secs: i64) -> bool {
    ends_secs.saturating_sub(now_secs) <= RENEW_BEFORE.as_secs() as i64
}

/// A new private key in PEM.
pub fn new_key() -> Result<String, SecurityError> {
    KeyPair::generate().map(|key| key.serialize_pem()).map_err(making("a key"))
}

/// A certificate request, in PEM, that proves the holding of a key and says nothing else.
pub fn request(key_pem: &str) -> Result<String, SecurityError> {
    let request = || CertificateParams::default().serialize_request(&KeyPair::from_pem(key_pem)?)?.pem();
    request().map_err(making("a certificate request"))
}

impl Subject {
    fn name(&self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        if !self.organization.is_empty() {
            name.push(DnType::OrganizationName, self.organization.as_str());
        }
        name.push(DnType::CommonName, self.common_name.as_str());
        name
    }

    fn usages(&self) -> Vec<ExtendedKeyUsagePurpose> {
        let server = (!self.sans.is_empty()).then_some(ExtendedKeyUsagePurpose::ServerAuth);
        server.into_iter().chain(self.is_client.then_some(ExtendedKeyUsagePurpose::ClientAuth)).collect()
    }
}

fn make(name: &str, now_secs: i64) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_span(&mut params, now_secs - SKEW_SECS, AUTHORITY_LIFETIME, now_secs);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn set_leaf(params: &mut CertificateParams) {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.use_authority_key_identifier_extension = true;
    let mut serial: [u8; 16] = random_bytes();
    // Serial numbers are positive.
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
}

fn set_span(params: &mut CertificateParams, from_secs: i64, lifetime: Duration, now_secs: i64) {
    let at = |secs: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs.max(0) as u64);
    (params.not_before, params.not_after) = (at(from_secs), at(now_secs) + lifetime);
}

fn day(secs: i64) -> String {
    (rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs.max(0) as u64)).date().to_string()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn making(what: &str) -> impl FnOnce(rcgen::Error) -> SecurityError + '_ {
    move |source| SecurityError::Make { what: format!("the certificate of {what}"), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn an_identity_is_kept_until_it_is_due_or_its_subject_changes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = Authority::open(&at("ca.crt"), &at("ca.key"), "test-ca", NOW).unwrap();
        let keep =
            |subject: &Subject, now| authority.keep(&at("a.crt"), &at("a.key"), subject, now).unwrap().certificate;

        let subject = Subject::server("web", vec!["web".into(), "10.0.0.1".into()]);
        let first = keep(&subject, NOW);
        assert_eq!(keep(&subject, NOW + 1), first);
        let two_thirds = NOW + 244 * 24 * 3600;
        let second = keep(&subject, two_thirds);
        assert_ne!(second, first);
        let third = keep(&Subject::server("web", vec!["web".into(), "10.0.0.2".into()]), two_thirds);
        assert_ne!(third, second);
    }

    /// From and until when the certificate is good.
    fn times(pem: &str) -> (i64, i64) {
        let facts = x509::facts(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        (facts.not_before_secs, facts.not_after_secs)
    }

    #[test]
    fn a_machine_that_started_with_a_wrong_clock_is_good_when_it_is_set_right() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = Authority::open(&at("ca.crt"), &at("ca.key"), "test-ca", NOW).unwrap();
        let subject = Subject::server("web", vec!["web".into()]);
        let keep = |now| authority.keep(&at("a.crt"), &at("a.key"), &subject, now).unwrap().certificate;
        let year = 365 * 24 * 3600;

        let first = keep(NOW);
        for behind in [NOW - 40 * year, 0] {
            assert_eq!(keep(behind), first, "it is good as soon as the clock is");
        }
        let ahead = keep(NOW + 2 * year);
        assert!(times(&ahead).0 < NOW, "{:?}", times(&ahead));
        assert_eq!(keep(NOW), ahead);
        std::fs::remove_file(at("a.crt")).unwrap();
        let (from, until) = times(&keep(0));
        assert!(from < NOW && until > NOW + year / 2, "{from} to {until}");
    }

    #[test]
    fn no_authority_is_made_before_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let open = |now| Authority::open(&at("ca.crt"), &at("ca.key"), "test-ca", now);
        let error = open(86_400).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "this machine's clock says 1970-01-02, which cannot be: set it, then start again");
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is made");
        open(NOW).unwrap();
    }

    #[test]
    fn an_authority_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let at = |name: &str| folder.path().join(name);
            Authority::open(&at("ca.crt"), &at("ca.key"), "test-ca", NOW)
        };
        assert_eq!(open().unwrap().pem(), open().unwrap().pem());
        std::fs::remove_file(folder.path().join("ca.key")).unwrap();
        assert!(open().is_err(), "a certificate without its key is not replaced");
    }
}
