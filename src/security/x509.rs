//! What a certificate says.

use std::net::IpAddr;

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The parts of a certificate that decide who somebody is and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub issuer: String,
    /// Names and addresses that it serves, sorted.
    pub sans: Vec<String>,
    pub not_before_secs: i64,
    pub not_after_secs: i64,
    /// SHA-256 of the whole certificate, in hex.
    pub fingerprint: String,
}

/// Reads a DER certificate; `None` if it is none.
pub fn facts(der: &[u8]) -> Option<Facts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
    let mut sans: Vec<String> = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(san).collect(),
        _ => Vec::new(),
    };
    sans.sort();
    Some(Facts {
        common_name: subject.iter_common_name().next().and_then(text).unwrap_or_default(),
        organizations: subject.iter_organization().filter_map(text).collect(),
        issuer: certificate.issuer().to_string(),
        sans,
        not_before_secs: certificate.validity().not_before.timestamp(),
        not_after_secs: certificate.validity().not_after.timestamp(),
        fingerprint: super::hex(&Sha256::digest(der)),
    })
}

/// What a certificate request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub addresses: Vec<String>,
    pub has_emails: bool,
    pub has_uris: bool,
}

/// Reads a PEM certificate request; `None` if it is none.
pub fn request_facts(pem: &str) -> Option<RequestFacts> {
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&der).ok()?;
    let subject = &request.certification_request_info.subject;
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
    let mut facts = RequestFacts {
        common_name: subject.iter_common_name().next().and_then(text).unwrap_or_default(),
        organizations: subject.iter_organization().filter_map(text).collect(),
        ..RequestFacts::default()
    };
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(name) => facts.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(_) => facts.addresses.extend(san(name)),
                GeneralName::RFC822Name(_) => facts.has_emails = true,
                GeneralName::URI(_) => facts.has_uris = true,
                _ => (),
            }
        }
    }
    Some(facts)
}

fn san(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let address: Option<IpAddr> = match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
                16 => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
                _ => None,
            };
            address.map(|address| address.to_string())
        }
        _ => None,
    }
}
