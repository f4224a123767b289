//! The pod as the kubelet reads it: everything in `spec` that says how to run it.
//!
//! The shared view of a pod holds what every loop needs; running one needs nearly all of it. So the
//! pods of this node, and only they, are read a second time into these structs. Fields this node
//! does not act on are not here.

pub mod container;
pub mod volume;

use serde::Deserialize;

pub use container::{Container, ContainerSecurity, EnvVar, Handler, Lifecycle, Probe, Resources, VolumeMount};
pub use volume::{KeyToPath, Volume};

use crate::object::{StringMap, Timestamp, Tree};

/// One pod bound to this node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    pub metadata: Metadata,
    pub spec: PodSpec,
    /// As last seen in the API; the kubelet keeps what others wrote into it.
    pub status: Tree,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub deletion_timestamp: Option<Timestamp>,
    pub deletion_grace_period_seconds: Option<i64>,
    pub labels: StringMap,
    pub annotations: StringMap,
}

impl Metadata {
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: String,
    pub volumes: Vec<Volume>,
    pub init_containers: Vec<Container>,
    pub containers: Vec<Container>,
    pub ephemeral_containers: Vec<Container>,
    pub restart_policy: String,
    pub termination_grace_period_seconds: Option<i64>,
    pub active_deadline_seconds: Option<i64>,
    pub dns_policy: String,
    pub dns_config: DnsConfig,
    pub node_selector: StringMap,
    pub service_account_name: String,
    pub host_network: bool,
    #[serde(rename = "hostPID")]
    pub host_pid: bool,
    #[serde(rename = "hostIPC")]
    pub host_ipc: bool,
    pub host_users: Option<bool>,
    pub share_process_namespace: bool,
    pub security_context: PodSecurity,
    pub image_pull_secrets: Vec<LocalRef>,
    pub hostname: String,
    pub subdomain: String,
    #[serde(rename = "setHostnameAsFQDN")]
    pub set_hostname_as_fqdn: bool,
    pub hostname_override: Option<String>,
    pub affinity: Tree,
    pub tolerations: Vec<Toleration>,
    pub host_aliases: Vec<HostAlias>,
    pub os: Tree,
    pub priority: Option<i64>,
    pub priority_class_name: String,
    pub runtime_class_name: Option<String>,
    pub enable_service_links: Option<bool>,
    pub overhead: StringMap,
    pub readiness_gates: Vec<ReadinessGate>,
    pub resources: Option<Resources>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalRef {
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    pub condition_type: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostAlias {
    pub ip: String,
    pub hostnames: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsConfig {
    pub nameservers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<DnsOption>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsOption {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    pub key: String,
    pub operator: String,
    pub value: String,
    pub effect: String,
    pub toleration_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSecurity {
    pub run_as_user: Option<i64>,
    pub run_as_group: Option<i64>,
    pub run_as_non_root: Option<bool>,
    pub fs_group: Option<i64>,
    pub fs_group_change_policy: Option<String>,
    pub supplemental_groups: Vec<i64>,
    pub supplemental_groups_policy: Option<String>,
    pub seccomp_profile: Option<Profile>,
    pub app_armor_profile: Option<Profile>,
    pub sysctls: Vec<Sysctl>,
}

/// A seccomp or AppArmor profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Profile {
    pub r#type: String,
    pub localhost_profile: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sysctl {
    pub name: String,
    pub value: String,
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub fn parse(text: &str) -> Self {
        match text {
            "OnFailure" => Self::OnFailure,
            "Never" => Self::Never,
            _ => Self::Always,
        }
    }

    /// Whether a container that ended with `exit_code` is to run again.
    pub fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

/// Which of a pod's three lists a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Init,
    Main,
    Ephemeral,
}

impl Role {
    /// The kind of container in what is counted.
    pub fn counted_as(self) -> &'static str {
        match self {
            Self::Init => "init_container",
            Self::Main => "container",
            Self::Ephemeral => "ephemeral_container",
        }
    }
}

impl Pod {
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// `name_namespace(uid)`, as upstream names a pod in messages.
    pub fn display(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }

    pub fn restart_policy(&self) -> RestartPolicy {
        RestartPolicy::parse(&self.spec.restart_policy)
    }

    /// How long its processes have between SIGTERM and SIGKILL, in seconds.
    pub fn grace_seconds(&self) -> i64 {
        self.metadata
            .deletion_grace_period_seconds
            .filter(|_| self.metadata.is_deleting())
            .or(self.spec.termination_grace_period_seconds)
            .unwrap_or(30)
            .max(0)
    }

    /// Every container with its role: init, main, ephemeral.
    pub fn all_containers(&self) -> impl Iterator<Item = (Role, &Container)> {
        let init = self.spec.init_containers.iter().map(|container| (Role::Init, container));
        let main = self.spec.containers.iter().map(|container| (Role::Main, container));
        let late = self.spec.ephemeral_containers.iter().map(|container| (Role::Ephemeral, container));
        init.chain(main).chain(late)
    }

    pub fn container(&self, name: &str) -> Option<(Role, &Container)> {
        self.all_containers().find(|(_, container)| container.name == name)
    }

    /// Whether the API says that this pod is over for good.
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.get("phase").and_then(Tree::as_str), Some("Succeeded" | "Failed"))
    }

    /// When the kubelet first saw the pod, if it has said so in its status.
    pub fn start_time(&self) -> Option<Timestamp> {
        Timestamp::parse(self.status.get("startTime")?.as_str()?)
    }
}
