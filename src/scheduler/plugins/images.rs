//! Nodes that have the pod's images already.
//!
//! An image counts by its size and by how common it is, so that one node with a rare image does not
//! attract every pod that uses it.

use crate::scheduler::framework::{Attempt, SCORE_MAX};
use crate::scheduler::info::NodeInfo;

const MIN: i64 = 23 * 1024 * 1024;
const MAX_PER_CONTAINER: i64 = 1000 * 1024 * 1024;

pub fn most_present(attempt: &Attempt, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let spec = &attempt.pod.pod.spec;
    let containers = spec.init_containers.iter().chain(&spec.containers);
    let names: Vec<String> = containers.map(|container| with_tag(&container.image)).collect();
    let total = attempt.cluster.len().max(1) as f64;
    let max = MAX_PER_CONTAINER * names.len().max(1) as i64;
    let rate = |info: &&NodeInfo| {
        let present = names.iter().filter_map(|name| Some((name, *info.images.get(name)?)));
        let sum: i64 = present
            .map(|(name, size)| {
                let spread = attempt.cluster.image_nodes.get(name).copied().unwrap_or(0) as f64 / total;
                (size as f64 * spread) as i64
            })
            .sum();
        SCORE_MAX * (sum.clamp(MIN, max) - MIN) / (max - MIN)
    };
    Some(nodes.iter().map(rate).collect())
}

fn with_tag(image: &str) -> String {
    let has_tag = image.rfind(':') > image.rfind('/');
    if has_tag { image.to_owned() } else { format!("{image}:latest") }
}
