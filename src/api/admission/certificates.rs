//! Certificate requests: only who may do so approves and signs, and nobody gets a client
//! certificate of `system:masters` this way.

use super::{Attributes, Operation, Plugin};
use crate::api::authz::{Ask, MASTERS, ResourceRef};
use crate::object::Status;
use crate::object::tree::{Tree, TreePath};
use crate::security::x509;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

const REQUESTS: &str = "certificatesigningrequests.certificates.k8s.io";
const APPROVAL: &str = "certificatesigningrequests.certificates.k8s.io/approval";
const STATUS: &str = "certificatesigningrequests.certificates.k8s.io/status";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub struct CertificateApproval;
pub struct CertificateSigning;
pub struct CertificateSubjectRestriction;

impl Plugin for CertificateApproval {
    fn validate(&self, on: &Attributes<'_>, request: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        match request.filter(|_| on.operation == Operation::Update && on.is(APPROVAL)) {
            Some(request) => may(on, request, "approve"),
            None => Ok(()),
        }
    }
}

impl Plugin for CertificateSigning {
    fn validate(&self, on: &Attributes<'_>, request: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        let is_asked = on.operation == Operation::Update && on.is(STATUS);
        let (Some(request), true) = (request, is_asked) else { return Ok(()) };
        let issued = |tree: &Tree| tree.text("status.certificate").to_owned();
        match on.old.is_some_and(|old| issued(old) == issued(request)) {
            true => Ok(()),
            false => may(on, request, "sign"),
        }
    }
}

impl Plugin for CertificateSubjectRestriction {
    fn validate(&self, on: &Attributes<'_>, request: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        match request.filter(|_| on.creates(REQUESTS)) {
            Some(request) => check_subject(on, request),
            None => Ok(()),
        }
    }
}

fn check_subject(on: &Attributes<'_>, request: &Tree) -> Result<(), Status> {
    if request.text("spec.signerName") != CLIENT_SIGNER {
        return Ok(());
    }
    let pem = BASE64.decode(request.text("spec.request")).ok().and_then(|pem| String::from_utf8(pem).ok());
    let facts = pem.and_then(|pem| x509::request_facts(&pem)).unwrap_or_default();
    match facts.organizations.iter().any(|organization| organization == MASTERS) {
        true => {
            Err(on.forbidden(request, format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")))
        }
        false => Ok(()),
    }
}

/// Whether the user may `verb` for this signer, or for all of its domain.
fn may(on: &Attributes<'_>, request: &Tree, verb: &str) -> Result<(), Status> {
    let signer = on.old.unwrap_or(request).text("spec.signerName");
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    let allowed = [signer, &format!("{domain}/*")].into_iter().any(|name| {
        let at = ResourceRef { group: "certificates.k8s.io", resource: "signers", name, ..ResourceRef::default() };
        on.authz.decide(&Ask::resource(on.user, verb, at)).is_allowed()
    });
    if allowed {
        return Ok(());
    }
    Err(on.forbidden(request, format!("user not permitted to {verb} requests with signerName {signer:?}")))
}
