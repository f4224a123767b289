//! What shapes the cluster itself: namespaces, accounts, roles and custom resources.

use std::collections::BTreeMap;

use super::common::{Condition, Named, Raw};
use super::selector::LabelSelector;

views! {
    Namespace = "namespaces",
    ServiceAccount = "serviceaccounts",
    ClusterRole = "clusterroles.rbac.authorization.k8s.io",
    CertificateSigningRequest = "certificatesigningrequests.certificates.k8s.io",
    CustomResourceDefinition = "customresourcedefinitions.apiextensions.k8s.io",
}

fields! {
    Namespace {
        spec: NamespaceSpec,
        status: NamespaceStatus,
    }

    NamespaceSpec {
        finalizers: Vec<String>,
    }

    NamespaceStatus {
        phase: String,
        conditions: Vec<Condition>,
    }

    ServiceAccount {
        secrets: Vec<Named>,
        image_pull_secrets: Vec<Named>,
        automount_service_account_token: Option<bool>,
    }

    ClusterRole {
        rules: Option<Vec<Raw>>,
        aggregation_rule: Option<AggregationRule>,
    }

    AggregationRule {
        cluster_role_selectors: Vec<LabelSelector>,
    }

    CustomResourceDefinition {
        spec: CustomResourceDefinitionSpec,
        status: CustomResourceDefinitionStatus,
    }

    CustomResourceDefinitionSpec {
        group: String,
        scope: String,
        names: CustomResourceNames,
        versions: Vec<CustomResourceVersion>,
    }

    CustomResourceNames {
        plural: String,
        kind: String,
    }

    CustomResourceVersion {
        name: String,
        served: bool,
        storage: bool,
    }

    CustomResourceDefinitionStatus {
        conditions: Vec<Condition>,
    }

    CertificateSigningRequest {
        spec: CertificateRequestSpec,
        status: CertificateRequestStatus,
    }

    CertificateRequestSpec {
        /// PEM, in base64.
        request: String,
        signer_name: String,
        usages: Vec<String>,
        expiration_seconds: Option<i64>,
        username: String,
        uid: String,
        groups: Vec<String>,
        extra: BTreeMap<String, Vec<String>>,
    }

    CertificateRequestStatus {
        conditions: Vec<Condition>,
        certificate: String,
    }
}
