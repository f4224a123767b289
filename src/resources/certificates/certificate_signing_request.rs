//! CertificateSigningRequest: asks a signer for a certificate.

use crate::object::time::human_duration;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells;
use crate::resources::def::GET_PATCH_UPDATE;
use crate::resources::{Column, ResourceDef, Special, Subresource, Version};

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
