//! What every part of this node's kubelet works with.

use std::sync::Arc;

use super::cgroups::tree::Cgroups;
use super::config::{Config, Paths};
use super::counts::Counts;
use super::cri::Cri;
use super::evict::pressure::Pressures;
use super::pods::downward::OnNode;
use crate::base::clock::ClockRef;
use crate::client::{Cache, Client, Note, Recorder};
use crate::object::view::Reference;
use crate::object::{StringMap, Timestamp};

pub struct Context {
    pub config: Config,
    pub paths: Paths,
    pub cri: Cri,
    pub client: Client,
    pub cache: Arc<Cache>,
    pub recorder: Recorder,
    pub clock: ClockRef,
    /// `None` where the machine has no control groups to be seen.
    pub cgroups: Option<Cgroups>,
    /// What the runtime unpacks images with; `None` where images cannot be mounted.
    pub snapshotter: Option<String>,
    pub pressures: Arc<Pressures>,
    pub counts: Counts,
    pub memory_bytes: u64,
    /// What pods may use of this node.
    pub allocatable: StringMap,
}

pub type ContextRef = Arc<Context>;

impl Context {
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.wall_nanos())
    }

    /// What the pod with these addresses may learn about its node.
    pub fn on_node(&self, pod_ips: &[String]) -> OnNode {
        OnNode {
            pod_ips: pod_ips.to_vec(),
            host_ips: self.config.node_ips.clone(),
            allocatable: self.allocatable.clone(),
        }
    }

    /// Tells the users of a pod, or of one of its containers, what happened.
    pub fn tell(
        &self,
        pod: &super::spec::Pod,
        container: Option<&str>,
        is_warning: bool,
        reason: &str,
        message: String,
    ) {
        let mut regarding = Reference {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: pod.namespace().into(),
            name: pod.name().into(),
            uid: pod.uid().into(),
            resource_version: pod.metadata.resource_version.clone(),
            ..Reference::default()
        };
        if let Some(name) = container {
            let list = match pod.container(name).map(|(role, _)| role) {
                Some(super::spec::Role::Init) => "initContainers",
                Some(super::spec::Role::Ephemeral) => "ephemeralContainers",
                _ => "containers",
            };
            regarding.field_path = format!("spec.{list}{{{name}}}");
        }
        let note = if is_warning {
            Note::warning(regarding, reason, message)
        } else {
            Note::normal(regarding, reason, message)
        };
        self.recorder.record(note);
    }
}
