//! Kinds: what must be known of a resource to address its objects.
//!
//! [`BUILT_IN`] lists what every cluster stores, in the version that loops speak. What custom
//! resource definitions add is only known at run time; see `client::Kinds`.

use std::borrow::Cow;
use std::fmt;

use super::gvk::{Gvk, join_api_version};
use super::key::{GroupResource, Key};

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    /// The plural that paths use.
    pub plural: Cow<'static, str>,
    pub namespaced: bool,
}

impl Kind {
    pub const fn fixed(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        namespaced: bool,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced,
        }
    }

    /// `v1` or `group/version`.
    pub fn api_version(&self) -> String {
        join_api_version(&self.group, &self.version)
    }

    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    /// `resource.group`, as in [`Key::resource`].
    pub fn resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.plural)
    }

    /// The key of `name`; the namespace is left out for what has none.
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        Key::new(&self.resource(), if self.namespaced { namespace } else { "" }, name)
    }

    /// Whether this is the resource that `resource.group` names.
    pub fn is(&self, resource: &str) -> bool {
        match resource.strip_prefix(&*self.plural) {
            Some("") => self.group.is_empty(),
            Some(rest) => !self.group.is_empty() && rest.strip_prefix('.') == Some(&*self.group),
            None => false,
        }
    }

    /// The built-in kind stored as `resource.group`.
    pub fn built_in(resource: &str) -> Option<&'static Kind> {
        BUILT_IN.iter().copied().find(|kind| kind.is(resource))
    }

    /// Whether a custom resource definition made it.
    pub fn is_custom(&self) -> bool {
        !BUILT_IN.iter().any(|known| known.group == self.group && known.plural == self.plural)
    }

    /// The built-in kind that `apiVersion` (whatever its version) and `kind` name.
    pub fn of_reference(api_version: &str, kind: &str) -> Option<&'static Kind> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        BUILT_IN.iter().copied().find(|known| known.kind == kind && known.group == group)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.kind)
    }
}

macro_rules! kinds {
    ($($name:ident = $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        $(pub static $name: Kind = Kind::fixed($group, $version, $kind, $plural, $namespaced);)*

        /// Every stored kind that is not made by a custom resource definition.
        pub static BUILT_IN: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    CONFIG_MAP = "" "v1" "ConfigMap" "configmaps" true;
    ENDPOINTS = "" "v1" "Endpoints" "endpoints" true;
    EVENT = "" "v1" "Event" "events" true;
    LIMIT_RANGE = "" "v1" "LimitRange" "limitranges" true;
    NAMESPACE = "" "v1" "Namespace" "namespaces" false;
    NODE = "" "v1" "Node" "nodes" false;
    PERSISTENT_VOLUME_CLAIM = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    PERSISTENT_VOLUME = "" "v1" "PersistentVolume" "persistentvolumes" false;
    POD = "" "v1" "Pod" "pods" true;
    POD_TEMPLATE = "" "v1" "PodTemplate" "podtemplates" true;
    REPLICATION_CONTROLLER = "" "v1" "ReplicationController" "replicationcontrollers" true;
    RESOURCE_QUOTA = "" "v1" "ResourceQuota" "resourcequotas" true;
    SECRET = "" "v1" "Secret" "secrets" true;
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" "serviceaccounts" true;
    SERVICE = "" "v1" "Service" "services" true;
    API_SERVICE = "apiregistration.k8s.io" "v1" "APIService" "apiservices" false;
    CONTROLLER_REVISION = "apps" "v1" "ControllerRevision" "controllerrevisions" true;
    DAEMON_SET = "apps" "v1" "DaemonSet" "daemonsets" true;
    DEPLOYMENT = "apps" "v1" "Deployment" "deployments" true;
    REPLICA_SET = "apps" "v1" "ReplicaSet" "replicasets" true;
    STATEFUL_SET = "apps" "v1" "StatefulSet" "statefulsets" true;
    HORIZONTAL_POD_AUTOSCALER = "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" true;
    CRON_JOB = "batch" "v1" "CronJob" "cronjobs" true;
    JOB = "batch" "v1" "Job" "jobs" true;
    CERTIFICATE_SIGNING_REQUEST = "certificates.k8s.io" "v1" "CertificateSigningRequest" "certificatesigningrequests" false;
    CLUSTER_TRUST_BUNDLE = "certificates.k8s.io" "v1beta1" "ClusterTrustBundle" "clustertrustbundles" false;
    POD_CERTIFICATE_REQUEST = "certificates.k8s.io" "v1beta1" "PodCertificateRequest" "podcertificaterequests" true;
    INGRESS_CLASS = "networking.k8s.io" "v1" "IngressClass" "ingressclasses" false;
    INGRESS = "networking.k8s.io" "v1" "Ingress" "ingresses" true;
    IP_ADDRESS = "networking.k8s.io" "v1" "IPAddress" "ipaddresses" false;
    NETWORK_POLICY = "networking.k8s.io" "v1" "NetworkPolicy" "networkpolicies" true;
    SERVICE_CIDR = "networking.k8s.io" "v1" "ServiceCIDR" "servicecidrs" false;
    POD_DISRUPTION_BUDGET = "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" true;
    CLUSTER_ROLE_BINDING = "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings" false;
    CLUSTER_ROLE = "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles" false;
    ROLE_BINDING = "rbac.authorization.k8s.io" "v1" "RoleBinding" "rolebindings" true;
    ROLE = "rbac.authorization.k8s.io" "v1" "Role" "roles" true;
    CSI_DRIVER = "storage.k8s.io" "v1" "CSIDriver" "csidrivers" false;
    CSI_NODE = "storage.k8s.io" "v1" "CSINode" "csinodes" false;
    CSI_STORAGE_CAPACITY = "storage.k8s.io" "v1" "CSIStorageCapacity" "csistoragecapacities" true;
    STORAGE_CLASS = "storage.k8s.io" "v1" "StorageClass" "storageclasses" false;
    VOLUME_ATTACHMENT = "storage.k8s.io" "v1" "VolumeAttachment" "volumeattachments" false;
    VOLUME_ATTRIBUTES_CLASS = "storage.k8s.io" "v1" "VolumeAttributesClass" "volumeattributesclasses" false;
    MUTATING_ADMISSION_POLICY = "admissionregistration.k8s.io" "v1" "MutatingAdmissionPolicy" "mutatingadmissionpolicies" false;
    MUTATING_ADMISSION_POLICY_BINDING = "admissionregistration.k8s.io" "v1" "MutatingAdmissionPolicyBinding" "mutatingadmissionpolicybindings" false;
    MUTATING_WEBHOOK_CONFIGURATION = "admissionregistration.k8s.io" "v1" "MutatingWebhookConfiguration" "mutatingwebhookconfigurations" false;
    VALIDATING_ADMISSION_POLICY = "admissionregistration.k8s.io" "v1" "ValidatingAdmissionPolicy" "validatingadmissionpolicies" false;
    VALIDATING_ADMISSION_POLICY_BINDING = "admissionregistration.k8s.io" "v1" "ValidatingAdmissionPolicyBinding" "validatingadmissionpolicybindings" false;
    VALIDATING_WEBHOOK_CONFIGURATION = "admissionregistration.k8s.io" "v1" "ValidatingWebhookConfiguration" "validatingwebhookconfigurations" false;
    CUSTOM_RESOURCE_DEFINITION = "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" false;
    PRIORITY_CLASS = "scheduling.k8s.io" "v1" "PriorityClass" "priorityclasses" false;
    POD_GROUP = "scheduling.k8s.io" "v1alpha2" "PodGroup" "podgroups" true;
    WORKLOAD = "scheduling.k8s.io" "v1alpha2" "Workload" "workloads" true;
    LEASE = "coordination.k8s.io" "v1" "Lease" "leases" true;
    LEASE_CANDIDATE = "coordination.k8s.io" "v1beta1" "LeaseCandidate" "leasecandidates" true;
    RUNTIME_CLASS = "node.k8s.io" "v1" "RuntimeClass" "runtimeclasses" false;
    ENDPOINT_SLICE = "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" true;
    DEVICE_CLASS = "resource.k8s.io" "v1" "DeviceClass" "deviceclasses" false;
    RESOURCE_CLAIM = "resource.k8s.io" "v1" "ResourceClaim" "resourceclaims" true;
    RESOURCE_CLAIM_TEMPLATE = "resource.k8s.io" "v1" "ResourceClaimTemplate" "resourceclaimtemplates" true;
    RESOURCE_SLICE = "resource.k8s.io" "v1" "ResourceSlice" "resourceslices" false;
    DEVICE_TAINT_RULE = "resource.k8s.io" "v1beta2" "DeviceTaintRule" "devicetaintrules" false;
    RESOURCE_POOL_STATUS_REQUEST = "resource.k8s.io" "v1alpha3" "ResourcePoolStatusRequest" "resourcepoolstatusrequests" false;
    FLOW_SCHEMA = "flowcontrol.apiserver.k8s.io" "v1" "FlowSchema" "flowschemas" false;
    PRIORITY_LEVEL_CONFIGURATION = "flowcontrol.apiserver.k8s.io" "v1" "PriorityLevelConfiguration" "prioritylevelconfigurations" false;
    STORAGE_VERSION = "internal.apiserver.k8s.io" "v1alpha1" "StorageVersion" "storageversions" false;
    STORAGE_VERSION_MIGRATION = "storagemigration.k8s.io" "v1beta1" "StorageVersionMigration" "storageversionmigrations" false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_resource_and_by_reference() {
        assert_eq!(Kind::built_in("deployments.apps"), Some(&DEPLOYMENT));
        assert_eq!(Kind::built_in("pods"), Some(&POD));
        assert_eq!(Kind::built_in("deployments"), None);
        assert_eq!(Kind::of_reference("apps/v1beta2", "Deployment"), Some(&DEPLOYMENT));
        assert_eq!(NODE.key("ignored", "n1").as_str(), "nodes//n1");
    }
}
