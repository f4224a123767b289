//! `/configz`: how this kubelet is set up, in the words of upstream's configuration file.

use crate::kubelet::context::Context;
use crate::kubelet::evict::signals::{self, Least, Threshold};
use crate::kubelet::images::collect;
use crate::object::Tree;
use crate::object::tree::json;

pub fn of(ctx: &Context) -> Tree {
    let config = &ctx.config;
    let mut eviction = json!({});
    let thresholds =
        [&signals::MEMORY, &signals::NODE_DISK, &signals::NODE_INODES, &signals::IMAGE_DISK, &signals::IMAGE_INODES];
    for Threshold { signal, least, .. } in thresholds {
        eviction[*signal] = match least {
            Least::Bytes(number) => signals::bytes(*number).into(),
            Least::Percent(percent) => format!("{percent}%").into(),
        };
    }
    json!({ "kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.listen.ip().to_string(),
        "port": config.listen.port(),
        "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": true } },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", ctx.paths.cgroup),
        "clusterDNS": config.cluster_dns.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "clusterDomain": config.cluster_domain,
        "evictionHard": eviction,
        "evictionPressureTransitionPeriod": "5m0s",
        "imageGCHighThresholdPercent": collect::HIGH_PERCENT,
        "imageGCLowThresholdPercent": collect::LOW_PERCENT,
        "maxPods": config.pods_max,
        "nodeStatusReportFrequency": "5m0s",
        "nodeStatusUpdateFrequency": "10s",
        "nodeLeaseDurationSeconds": 40,
        "podLogsDir": ctx.paths.pod_logs.display().to_string(),
        "serializeImagePulls": true,
    }})
}
