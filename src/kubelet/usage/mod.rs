//! What containers, pods and the machine use right now.

pub mod disk;
pub mod group;
pub mod shot;

use k8s_cri::v1::ContainerStats;

use super::context::Context;
use super::cri::CriResult;
use super::pods::make::names;
use crate::object::Timestamp;

/// One container's use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    pub container: String,
    pub id: String,
    pub cpu_nanos: u64,
    /// What cannot be given back without harm.
    pub memory_bytes: u64,
    /// What it wrote beside its volumes.
    pub disk_bytes: u64,
    pub disk_inodes: u64,
    pub at_nanos: i64,
}

impl Used {
    pub fn at(&self) -> Timestamp {
        Timestamp::from_nanos(i128::from(self.at_nanos))
    }
}

/// The use of every container that runs.
pub async fn of_containers(ctx: &Context) -> CriResult<Vec<Used>> {
    Ok(ctx.cri.stats().await?.into_iter().filter_map(read).collect())
}

fn read(stats: ContainerStats) -> Option<Used> {
    let attributes = stats.attributes?;
    let label = |name: &str| attributes.labels.get(name).cloned().unwrap_or_default();
    let number = |value: Option<k8s_cri::v1::UInt64Value>| value.map_or(0, |value| value.value);
    let (cpu, layer) = (stats.cpu.unwrap_or_default(), stats.writable_layer.unwrap_or_default());
    Some(Used {
        namespace: label(names::POD_NAMESPACE),
        pod: label(names::POD_NAME),
        uid: label(names::POD_UID),
        container: label(names::CONTAINER_NAME),
        id: attributes.id.clone(),
        cpu_nanos: number(cpu.usage_core_nano_seconds),
        memory_bytes: number(stats.memory.unwrap_or_default().working_set_bytes),
        disk_bytes: number(layer.used_bytes),
        disk_inodes: number(layer.inodes_used),
        at_nanos: cpu.timestamp,
    })
}
