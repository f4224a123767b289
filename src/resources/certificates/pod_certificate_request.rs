//! PodCertificateRequest: asks a signer for a pod's certificate.

use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::labels;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    selectable: &["spec.signerName", "spec.podName", "spec.nodeName"],
    columns: &[
        Column::NAME,
        Column::path("PodName", "spec.podName"),
        Column::path("ServiceAccountName", "spec.serviceAccountName"),
        Column::path("NodeName", "spec.nodeName"),
        Column::path("SignerName", "spec.signerName"),
        Column::with("State", state),
        Column::with("UnverifiedUserAnnotations", |o| labels(o.at("spec.unverifiedUserAnnotations")).into()),
    ],
    ..ResourceDef::namespaced(
        "certificates.k8s.io",
        "PodCertificateRequest",
        "podcertificaterequests",
        "podcertificaterequest",
        &[Version::off("v1beta1", "io.k8s.api.certificates.v1beta1.PodCertificateRequest")],
    )
};

fn state(object: &Tree) -> Tree {
    let conditions = object.items("status.conditions").iter().map(|condition| condition.text("type"));
    conditions.filter(|kind| matches!(*kind, "Issued" | "Denied" | "Failed")).last().unwrap_or("Pending").into()
}
