//! One look at everything that uses this node.

use std::sync::Arc;

use super::group::{self, GroupUse};
use super::{Used, of_containers};
use crate::kubelet::cgroups::qos::QosClass;
use crate::kubelet::context::Context;
use crate::kubelet::cri::CriResult;
use crate::kubelet::evict::limits::LocalUse;
use crate::kubelet::evict::measure;
use crate::kubelet::node::facts::meminfo;
use crate::kubelet::pods::manager::Pods;
use crate::kubelet::pods::seen::{Instance, Seen, State};
use crate::kubelet::spec::Pod;
use crate::object::Timestamp;

pub struct Shot {
    pub at: Timestamp,
    pub node: GroupUse,
    pub available_bytes: u64,
    pub pods: Vec<PodShot>,
}

pub struct PodShot {
    pub pod: Arc<Pod>,
    pub seen: Arc<Seen>,
    /// All of the pod together, its sandbox included.
    pub group: GroupUse,
    pub containers: Vec<Used>,
    /// Measured only where asked for: it means walking through directories.
    pub local: Option<LocalUse>,
}

impl PodShot {
    /// The instance that a container's use is of.
    pub fn instance(&self, used: &Used) -> Option<&Instance> {
        self.seen.instance(&used.id)
    }

    pub fn started_at(&self, used: &Used) -> Option<Timestamp> {
        match self.instance(used)?.state {
            State::Running { started_at } => Some(started_at),
            _ => None,
        }
    }

    /// The control group, as the runtime was told it.
    pub fn group_path(&self, ctx: &Context) -> String {
        let class = QosClass::of(&self.pod.spec);
        ctx.cgroups.as_ref().map_or_else(String::new, |cgroups| cgroups.pod_path(self.pod.uid(), class))
    }
}

/// Looks at the node and all pods that run; with `disks`, at what they keep on the disk too.
pub async fn take(ctx: &Context, pods: &Pods, disks: bool) -> CriResult<Shot> {
    let used = of_containers(ctx).await?;
    let read = |path: &str| ctx.cgroups.as_ref().map(|cgroups| group::read(cgroups, path)).unwrap_or_default();
    let available_bytes = meminfo("MemAvailable").unwrap_or_default() * 1024;
    let node = GroupUse { working_set_bytes: ctx.memory_bytes.saturating_sub(available_bytes), ..read("/") };
    let mut shots = Vec::new();
    for (pod, seen) in pods.all() {
        if seen.running().next().is_none() {
            continue;
        }
        let runs = |one: &&Used| seen.instance(&one.id).is_some_and(Instance::is_running);
        let containers: Vec<Used> = used.iter().filter(runs).cloned().collect();
        let local = if disks { Some(measure(ctx, &pod, &used).await) } else { None };
        let mut shot = PodShot { pod, seen, group: GroupUse::default(), containers, local };
        shot.group = read(&shot.group_path(ctx));
        shots.push(shot);
    }
    Ok(Shot { at: ctx.now(), node, available_bytes, pods: shots })
}
