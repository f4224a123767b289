//! One container: what to run, as whom, with which environment, mounts and limits.

use std::collections::BTreeMap;

use k8s_cri::v1::{ContainerConfig, ContainerMetadata, Image, ImageSpec, KeyValue, LinuxContainerConfig, Mount};

use super::{names, security};
use crate::kubelet::cgroups::amounts;
use crate::kubelet::config::Paths;
use crate::kubelet::pods::expand::expand;
use crate::kubelet::pods::plan::spec_hash;
use crate::kubelet::spec::{Container, Pod};

/// What a container is made from, beyond its specification.
pub struct Parts<'a> {
    pub attempt: u32,
    pub image: &'a Image,
    pub env: &'a BTreeMap<String, String>,
    pub mounts: Vec<Mount>,
    /// The container whose processes an ephemeral one sees.
    pub target_id: Option<&'a str>,
    pub memory_capacity: i64,
    pub paths: &'a Paths,
}

pub fn config(pod: &Pod, container: &Container, parts: Parts) -> ContainerConfig {
    let expanded = |words: &[String]| -> Vec<String> {
        words.iter().map(|word| expand(word, |name| parts.env.get(name).cloned())).collect()
    };
    let labels = [
        (names::POD_NAME, pod.name()),
        (names::POD_NAMESPACE, pod.namespace()),
        (names::POD_UID, pod.uid()),
        (names::CONTAINER_NAME, &container.name),
    ];
    let annotations = [
        (names::HASH, spec_hash(container)),
        (names::RESTART_COUNT, parts.attempt.to_string()),
        (names::MESSAGE_PATH, container.termination_message_path.clone()),
        (names::MESSAGE_POLICY, container.termination_message_policy.clone()),
        (names::GRACE_PERIOD, pod.grace_seconds().to_string()),
    ];
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: parts.attempt }),
        image: Some(ImageSpec {
            image: parts.image.id.clone(),
            user_specified_image: container.image.clone(),
            ..Default::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone(),
        envs: parts.env.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect(),
        mounts: parts.mounts,
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        annotations: annotations.map(|(key, value)| (key.to_owned(), value)).into(),
        log_path: log_path(&container.name, parts.attempt),
        stdin: container.stdin,
        stdin_once: container.stdin_once,
        tty: container.tty,
        linux: Some(LinuxContainerConfig {
            resources: Some(amounts::of_container(pod, container, parts.memory_capacity)),
            security_context: Some(security::of_container(
                pod,
                container,
                parts.image,
                &parts.paths.seccomp,
                parts.target_id,
            )),
        }),
        ..Default::default()
    }
}

/// The log's place in the pod's log directory.
pub fn log_path(name: &str, attempt: u32) -> String {
    format!("{name}/{attempt}.log")
}
