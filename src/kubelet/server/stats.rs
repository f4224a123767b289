//! What pods use: `/stats/summary` and `/metrics/resource`.

use std::collections::BTreeMap;
use std::fmt::Write;

use k8s_cri::v1::ContainerStats;

use crate::kubelet::context::Context;
use crate::kubelet::cri::CriResult;
use crate::kubelet::node::facts::meminfo;
use crate::kubelet::pods::make::names;
use crate::object::tree::json;
use crate::object::{Timestamp, Tree};

/// One container's use.
struct Used {
    namespace: String,
    pod: String,
    uid: String,
    container: String,
    cpu_nanos: u64,
    memory_bytes: u64,
    disk_bytes: u64,
    at: Timestamp,
}

async fn used(ctx: &Context) -> CriResult<Vec<Used>> {
    Ok(ctx.cri.stats().await?.into_iter().filter_map(read).collect())
}

fn read(stats: ContainerStats) -> Option<Used> {
    let labels = stats.attributes?.labels;
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let cpu = stats.cpu.unwrap_or_default();
    let number = |value: Option<k8s_cri::v1::UInt64Value>| value.map_or(0, |value| value.value);
    Some(Used {
        namespace: label(names::POD_NAMESPACE),
        pod: label(names::POD_NAME),
        uid: label(names::POD_UID),
        container: label(names::CONTAINER_NAME),
        cpu_nanos: number(cpu.usage_core_nano_seconds),
        memory_bytes: number(stats.memory.unwrap_or_default().working_set_bytes),
        disk_bytes: number(stats.writable_layer.unwrap_or_default().used_bytes),
        at: Timestamp::from_nanos(i128::from(cpu.timestamp)),
    })
}

pub async fn summary(ctx: &Context) -> CriResult<Tree> {
    let mut pods: BTreeMap<String, Tree> = BTreeMap::new();
    for one in used(ctx).await? {
        let pod = pods.entry(one.uid.clone()).or_insert_with(|| {
            json!({
                "podRef": { "name": one.pod, "namespace": one.namespace, "uid": one.uid },
                "containers": [],
            })
        });
        let container = json!({
            "name": one.container,
            "startTime": one.at,
            "cpu": { "time": one.at, "usageCoreNanoSeconds": one.cpu_nanos },
            "memory": { "time": one.at, "workingSetBytes": one.memory_bytes },
            "rootfs": { "time": one.at, "usedBytes": one.disk_bytes },
        });
        if let Some(list) = pod["containers"].as_array_mut() {
            list.push(container);
        }
    }
    let available = meminfo("MemAvailable").unwrap_or_default() * 1024;
    Ok(json!({
        "node": {
            "nodeName": ctx.config.node_name,
            "memory": {
                "time": ctx.now(),
                "availableBytes": available,
                "workingSetBytes": ctx.memory_bytes.saturating_sub(available),
            },
        },
        "pods": pods.into_values().collect::<Vec<_>>(),
    }))
}

/// In the text format of Prometheus, under upstream's names.
pub async fn resource_metrics(ctx: &Context) -> CriResult<String> {
    let all = used(ctx).await?;
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Used) -> String| {
        let _ = writeln!(text, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
        for one in &all {
            let (container, namespace, pod) = (&one.container, &one.namespace, &one.pod);
            let _ =
                writeln!(text, "{name}{{container={container:?},namespace={namespace:?},pod={pod:?}}} {}", value(one));
        }
    };
    family(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
        &|one| format!("{:.6}", one.cpu_nanos as f64 / 1e9),
    );
    family("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", &|one| {
        one.memory_bytes.to_string()
    });
    let available = meminfo("MemAvailable").unwrap_or_default() * 1024;
    let _ = writeln!(
        text,
        "# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes\n\
         # TYPE node_memory_working_set_bytes gauge\n\
         node_memory_working_set_bytes {}",
        ctx.memory_bytes.saturating_sub(available)
    );
    Ok(text)
}
