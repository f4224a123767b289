//! CertificateSigningRequest: asks a signer for a certificate.

use crate::object::field::FieldErrors;
use crate::object::time::human_duration;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells;
use crate::resources::check::{At, at};
use crate::resources::def::GET_PATCH_UPDATE;
use crate::resources::signers;
use crate::resources::{Column, ResourceDef, Rules, Special, Subresource, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeSet;

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["csr"],
    subresources: &[Special::own("approval", GET_PATCH_UPDATE), Subresource::Status],
    selectable: &["spec.signerName"],
    columns: &[
        Column::NAME,
        Column::AGE,
        Column::path_or("SignerName", "spec.signerName", "<none>"),
        Column::path("Requestor", "spec.username"),
        Column::with("RequestedDuration", duration),
        Column::with("Condition", condition),
    ],
    rules: &CertificateSigningRequest,
    ..ResourceDef::cluster(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        "certificatesigningrequest",
        &[Version::on("v1", "io.k8s.api.certificates.v1.CertificateSigningRequest")],
    )
};

fn duration(object: &Tree) -> Tree {
    object.int("spec.expirationSeconds").map_or("<none>".into(), |secs| human_duration(secs).into())
}

/// What was decided, and whether the certificate was issued.
fn condition(object: &Tree) -> Tree {
    let has = |kind: &str| cells::condition(object, kind).is_some();
    let mut text = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        text += ",Failed";
    }
    if !object.text("status.certificate").is_empty() {
        text += ",Issued";
    }
    text.into()
}

pub struct CertificateSigningRequest;

impl Rules for CertificateSigningRequest {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_spec(&At::root(new).child("spec"), old.is_none(), errors);
        check_conditions(&At::root(new).child("status.conditions"), errors);
        if let Some(old) = old {
            check_kept_conditions(new, old, true, errors);
        }
    }

    fn prepare_create(&self, new: &mut Tree) {
        new.unset("status");
    }

    fn prepare_update(&self, new: &mut Tree, old: &Tree) {
        new.set("spec", at(old, "spec").clone());
    }

    fn prepare_subresource(&self, _subresource: &str, new: &mut Tree, old: &Tree) {
        // Approval sets conditions; the certificate is for `status`.
        new.set("spec", at(old, "spec").clone());
        match at(old, "status.certificate") {
            Tree::Null => drop(new.unset("status.certificate")),
            certificate => drop(new.set("status.certificate", certificate.clone())),
        }
    }

    fn validate_subresource(&self, _subresource: &str, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        check_conditions(&At::root(new).child("status.conditions"), errors);
        check_kept_conditions(new, old, false, errors);
    }

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        check_conditions(&At::root(new).child("status.conditions"), errors);
        check_kept_conditions(new, old, true, errors);
        let before = old.text("status.certificate");
        if !before.is_empty() && before != new.text("status.certificate") {
            errors.forbidden("status.certificate", "updates may not modify existing certificate content");
        }
        if before.is_empty() {
            check_certificate(new.text("status.certificate"), errors);
        }
    }

    fn validate_name(&self, _name: &str, _is_prefix: bool) -> Vec<String> {
        Vec::new()
    }
}

/// An issued certificate is a chain in PEM, and nothing else.
fn check_certificate(encoded: &str, errors: &mut FieldErrors) {
    if encoded.is_empty() {
        return;
    }
    let bytes = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut complain = |why: String| errors.invalid_shown("status.certificate", "\"<certificate data>\"", why);
    let kinds: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("-----BEGIN ")?.trim_end().strip_suffix("-----")).collect();
    match kinds.iter().find(|kind| **kind != "CERTIFICATE") {
        Some(other) => complain(format!("only CERTIFICATE PEM blocks are allowed, found {other:?}")),
        None if kinds.is_empty() => complain("must contain at least one CERTIFICATE PEM block".into()),
        None => (),
    }
}

/// Sorted, as they are listed in complaints.
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Whether the request itself is well-formed and signed is for the signer to find out.
fn check_spec(spec: &At, is_new: bool, errors: &mut FieldErrors) {
    let (request, usages, signer) = (spec.child("request"), spec.child("usages"), spec.child("signerName"));
    let pem = BASE64_STANDARD.decode(request.str()).unwrap_or_default();
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE REQUEST-----") {
        request.invalid_text(errors, "PEM block type must be CERTIFICATE REQUEST");
    }
    if usages.is_empty() {
        usages.required(errors, "");
    }
    for usage in usages.items().filter(|usage| is_new && !USAGES.contains(&usage.str())) {
        usage.not_supported(errors, USAGES);
    }
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        if !seen.insert(usage.str()) {
            usage.duplicate(errors);
        }
    }
    if signer.str() == "kubernetes.io/legacy-unknown" {
        signer.invalid(errors, "the legacy signerName is not allowed via this API version");
    } else {
        signers::check_name(&signer, errors);
    }
    let expiration = spec.child("expirationSeconds");
    if expiration.int().is_some_and(|seconds| seconds < 600) {
        expiration.invalid(errors, "may not specify a duration less than 600 seconds (10 minutes)");
    }
}

fn check_conditions(conditions: &At, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let (kind, status) = (condition.child("type"), condition.child("status"));
        if kind.is_empty() {
            kind.required(errors, "");
        }
        let decided = matches!(kind.str(), "Approved" | "Denied" | "Failed");
        let allowed: &[&str] = if decided { &["True"] } else { &["False", "True", "Unknown"] };
        status.one_of(errors, allowed);
        let other = match kind.str() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && seen.contains(other) {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.invalid(&*conditions.path, kind.str(), detail);
        }
        if !seen.insert(kind.str()) {
            kind.duplicate(errors);
        }
    }
}

/// Decisions stay; only `approval` adds them.
fn check_kept_conditions(new: &Tree, old: &Tree, decided_elsewhere: bool, errors: &mut FieldErrors) {
    let of = |csr: &Tree, kind: &str| -> Vec<Tree> {
        csr.items("status.conditions").iter().filter(|condition| condition.text("type") == kind).cloned().collect()
    };
    for kind in ["Approved", "Denied", "Failed"] {
        let (now, before) = (of(new, kind), of(old, kind));
        let verb = match () {
            () if now.len() < before.len() => "remove",
            () if kind == "Failed" || !decided_elsewhere => continue,
            () if now.len() > before.len() => "add",
            () if now != before => "modify",
            () => continue,
        };
        errors.forbidden("status.conditions", format!("updates may not {verb} a condition of type {kind:?}"));
    }
}
