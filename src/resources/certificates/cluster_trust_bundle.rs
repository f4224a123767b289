//! ClusterTrustBundle: certificates that pods may trust.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    selectable: &["spec.signerName"],
    columns: &[Column::NAME, Column::path_or("SignerName", "spec.signerName", "<none>")],
    ..ResourceDef::cluster(
        "certificates.k8s.io",
        "ClusterTrustBundle",
        "clustertrustbundles",
        "clustertrustbundle",
        &[
            Version::off("v1beta1", "io.k8s.api.certificates.v1beta1.ClusterTrustBundle"),
            Version::off("v1alpha1", "io.k8s.api.certificates.v1alpha1.ClusterTrustBundle"),
        ],
    )
};
