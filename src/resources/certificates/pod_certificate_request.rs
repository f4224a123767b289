//! PodCertificateRequest: asks a signer for a pod's certificate.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    selectable: &["spec.signerName", "spec.podName", "spec.nodeName"],
    ..ResourceDef::namespaced(
        "certificates.k8s.io",
        "PodCertificateRequest",
        "podcertificaterequests",
        "podcertificaterequest",
        &[Version::off("v1beta1", "io.k8s.api.certificates.v1beta1.PodCertificateRequest")],
    )
};
