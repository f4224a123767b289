//! `/stats/summary`: what node and pods use, as autoscalers and dashboards read it.

use crate::kubelet::context::Context;
use crate::kubelet::usage::disk::Disk;
use crate::kubelet::usage::group::GroupUse;
use crate::kubelet::usage::shot::{PodShot, Shot};
use crate::object::tree::json;
use crate::object::{Timestamp, Tree};

pub fn summary(ctx: &Context, shot: &Shot) -> Tree {
    let (node_disk, image_disk) = (Disk::of(&ctx.paths.kubelet), Disk::of(&ctx.paths.containerd));
    let mut memory = memory(&shot.node, shot.at);
    memory["availableBytes"] = shot.available_bytes.into();
    json!({
        "node": {
            "nodeName": ctx.config.node_name,
            "startTime": shot.at,
            "cpu": cpu(&shot.node, shot.at),
            "memory": memory,
            "fs": fs(node_disk, shot.at),
            "runtime": { "imageFs": fs(image_disk, shot.at), "containerFs": fs(image_disk, shot.at) },
        },
        "pods": shot.pods.iter().map(|pod| of_pod(pod, shot.at, node_disk)).collect::<Vec<_>>(),
    })
}

fn of_pod(shot: &PodShot, at: Timestamp, disk: Option<Disk>) -> Tree {
    let pod = &shot.pod;
    let local = shot.local.clone().unwrap_or_default();
    let used_fs = |bytes: u64| {
        let mut tree = fs(disk, at);
        tree["usedBytes"] = bytes.into();
        tree
    };
    let containers: Vec<Tree> = shot
        .containers
        .iter()
        .map(|one| {
            let whole = local.containers.get(&one.container).copied().unwrap_or(one.disk_bytes);
            json!({
                "name": one.container,
                "startTime": shot.started_at(one).unwrap_or(at),
                "cpu": { "time": one.at(), "usageCoreNanoSeconds": one.cpu_nanos },
                "memory": { "time": one.at(), "workingSetBytes": one.memory_bytes },
                "rootfs": used_fs(one.disk_bytes),
                "logs": used_fs(whole.saturating_sub(one.disk_bytes)),
            })
        })
        .collect();
    let volumes: Vec<Tree> = local
        .empty_dirs
        .iter()
        .map(|(name, bytes)| {
            let mut tree = used_fs(*bytes);
            tree["name"] = name.as_str().into();
            tree
        })
        .collect();
    let mut tree = json!({
        "podRef": { "name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid() },
        "startTime": pod.start_time().unwrap_or(at),
        "containers": containers,
        "cpu": cpu(&shot.group, at),
        "memory": memory(&shot.group, at),
        "process_stats": { "process_count": shot.group.processes },
    });
    if shot.local.is_some() {
        tree["ephemeral-storage"] = used_fs(local.total_bytes());
        tree["ephemeral-storage"]["inodesUsed"] = local.inodes.into();
    }
    if !volumes.is_empty() {
        tree["volume"] = volumes.into();
    }
    tree
}

fn cpu(used: &GroupUse, at: Timestamp) -> Tree {
    json!({ "time": at, "usageCoreNanoSeconds": used.cpu_nanos })
}

fn memory(used: &GroupUse, at: Timestamp) -> Tree {
    json!({
        "time": at,
        "usageBytes": used.memory_bytes,
        "workingSetBytes": used.working_set_bytes,
        "rssBytes": used.rss_bytes,
    })
}

fn fs(disk: Option<Disk>, at: Timestamp) -> Tree {
    let disk = disk.unwrap_or_default();
    json!({
        "time": at,
        "availableBytes": disk.available_bytes,
        "capacityBytes": disk.capacity_bytes,
        "usedBytes": disk.used_bytes,
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": disk.inodes.saturating_sub(disk.inodes_free),
    })
}
