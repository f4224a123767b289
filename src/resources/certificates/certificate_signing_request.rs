//! CertificateSigningRequest: asks a signer for a certificate.

use crate::resources::def::GET_PATCH_UPDATE;
use crate::resources::{ResourceDef, Special, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["csr"],
    subresources: &[Special::own("approval", GET_PATCH_UPDATE), Subresource::Status],
    selectable: &["spec.signerName"],
    ..ResourceDef::cluster(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        "certificatesigningrequest",
        &[Version::on("v1", "io.k8s.api.certificates.v1.CertificateSigningRequest")],
    )
};
