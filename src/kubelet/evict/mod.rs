//! Eviction: pods end so that the node lives, or because they keep more than they may.
//!
//! The machine is looked at every ten seconds; pods are measured only when something is short or
//! when one of them has a limit to be held to. What nobody uses is given back first. One pod is
//! evicted at a time, since its end may be enough.

pub mod limits;
pub mod pressure;
pub mod rank;
pub mod signals;

use std::sync::Arc;
use std::time::Duration;

use self::limits::LocalUse;
use self::rank::Candidate;
use self::signals::{IMAGE_DISK, IMAGE_INODES, MEMORY, NODE_DISK, NODE_INODES, Observed, Shared};
use super::context::{Context, ContextRef};
use super::counts::EVICTIONS;
use super::images::collect::Collector;
use super::node::facts::meminfo;
use super::pods::manager::Pods;
use super::pods::plan::Eviction;
use super::spec::Pod;
use super::usage::disk::{Disk, size_of};
use super::usage::{self, Used};
use crate::base::service::Scope;

const LOOK_PERIOD: Duration = Duration::from_secs(10);
/// After an eviction, the machine gets this long to feel it.
const SETTLE: Duration = Duration::from_secs(30);
/// The order in which what is short is dealt with.
const ORDER: [Shared; 3] = [Shared::Memory, Shared::Disk, Shared::Inodes];

/// Watches over the node for as long as it is polled.
pub async fn run(ctx: ContextRef, pods: Arc<Pods>, collector: Arc<Collector>) {
    loop {
        tokio::time::sleep(LOOK_PERIOD).await;
        let short = short(&ctx);
        ctx.pressures.note(&short, ctx.clock.elapsed());
        let all: Vec<Arc<Pod>> = pods.evictable();
        let limited: Vec<Arc<Pod>> = all.iter().filter(|pod| limits::has_any(pod)).cloned().collect();
        if !short.is_empty() {
            if relieve(&ctx, &pods, &collector, &all).await {
                tokio::time::sleep(SETTLE).await;
            }
        } else if !limited.is_empty() {
            hold_to_limits(&ctx, &pods, &limited).await;
        }
    }
}

/// What of the machine is too short now.
fn short(ctx: &Context) -> Vec<Observed> {
    let memory = meminfo("MemAvailable").map(|kib| Observed::new(&MEMORY, kib * 1024, ctx.memory_bytes));
    let node = Disk::of(&ctx.paths.kubelet);
    // Images mostly lie on the same disk, which is then counted once.
    let images = Disk::of(&ctx.paths.containerd).filter(|disk| Some(*disk) != node);
    let of_disk = |disk: Option<Disk>, bytes, inodes| {
        let both = disk.map(|disk| {
            [
                Observed::new(bytes, disk.available_bytes, disk.capacity_bytes),
                Observed::new(inodes, disk.inodes_free, disk.inodes),
            ]
        });
        both.into_iter().flatten()
    };
    let disks = of_disk(node, &NODE_DISK, &NODE_INODES).chain(of_disk(images, &IMAGE_DISK, &IMAGE_INODES));
    memory.into_iter().chain(disks).filter(Observed::is_short).collect()
}

/// Gives back what nobody uses; if that is not enough, evicts a pod. Returns whether one was.
async fn relieve(ctx: &Context, pods: &Pods, collector: &Collector, all: &[Arc<Pod>]) -> bool {
    if short(ctx).iter().any(|one| one.threshold.shared != Shared::Memory) {
        collector.free_all(ctx, pods).await;
    }
    let left = short(ctx);
    let Some(worst) = ORDER.iter().find_map(|shared| left.iter().find(|one| one.threshold.shared == *shared)) else {
        return false;
    };
    let shared = worst.threshold.shared;
    tracing::warn!(signal = worst.threshold.signal, available = worst.available, "the node is short of something");
    let Ok(used) = usage::of_containers(ctx).await else { return false };
    let mut candidates = Vec::with_capacity(all.len());
    for pod in all {
        let local = if shared == Shared::Memory { LocalUse::default() } else { measure(ctx, pod, &used).await };
        candidates.push(Candidate { pod, used: of_pod(pod, &used).collect(), local });
    }
    let Some(first) = rank::order(&candidates, shared).into_iter().next() else {
        tracing::warn!("no pod can be evicted");
        return false;
    };
    let message = format!("{}{}", worst.message(), rank::blame(first, shared));
    ctx.counts.add(&EVICTIONS, &[worst.threshold.signal]);
    pods.evict(first.pod, Eviction { message, is_disruption: true });
    true
}

async fn hold_to_limits(ctx: &Context, pods: &Pods, limited: &[Arc<Pod>]) {
    let Ok(used) = usage::of_containers(ctx).await else { return };
    for pod in limited {
        if let Some((signal, message)) = limits::breach(pod, &measure(ctx, pod, &used).await) {
            ctx.counts.add(&EVICTIONS, &[signal]);
            pods.evict(pod, Eviction { message, is_disruption: false });
        }
    }
}

fn of_pod<'a>(pod: &'a Pod, used: &'a [Used]) -> impl Iterator<Item = &'a Used> {
    used.iter().filter(|one| one.uid == pod.uid())
}

/// What the pod keeps on the disk. Volumes in memory are not on the disk, but have limits too.
pub async fn measure(ctx: &Context, pod: &Pod, used: &[Used]) -> LocalUse {
    let logs = ctx.paths.pod_log_dir(pod.namespace(), pod.name(), pod.uid());
    let mut containers = Vec::new();
    for (_, container) in pod.all_containers() {
        let layer = of_pod(pod, used).find(|one| one.container == container.name);
        let (bytes, inodes) = layer.map_or((0, 0), |one| (one.disk_bytes, one.disk_inodes));
        containers.push((container.name.clone(), logs.join(&container.name), bytes, inodes));
    }
    let empty_dirs: Vec<_> = pod
        .spec
        .volumes
        .iter()
        .filter(|volume| volume.empty_dir.is_some())
        .map(|volume| (volume.name.clone(), ctx.paths.volume(pod.uid(), "kubernetes.io~empty-dir", &volume.name)))
        .collect();
    Scope::blocking(move || {
        let mut local = LocalUse::default();
        for (name, logs, bytes, inodes) in containers {
            let size = size_of(&logs);
            local.inodes += inodes + size.inodes;
            local.containers.insert(name, bytes + size.bytes);
        }
        for (name, dir) in empty_dirs {
            let size = size_of(&dir);
            local.inodes += size.inodes;
            local.empty_dirs.insert(name, size.bytes);
        }
        local
    })
    .await
}
