//! Requests and limits in the kernel's units.

use k8s_cri::v1::LinuxContainerResources;

use super::qos::QosClass;
use crate::kubelet::spec::{Container, Pod, PodSpec, Resources};
use crate::object::StringMap;
use crate::object::quantity::Quantity;

/// The period of the CPU quota.
pub const PERIOD_US: i64 = 100_000;
const QUOTA_US_MIN: i64 = 1_000;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;

/// What one control group gets. `None` means unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub cpu_shares: i64,
    pub cpu_quota_us: Option<i64>,
    pub memory_bytes: Option<i64>,
}

pub fn cpu_shares(millis: i64) -> i64 {
    (millis * 1024 / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

fn cpu_quota_us(millis: i64) -> i64 {
    (millis * PERIOD_US / 1000).max(QUOTA_US_MIN)
}

/// The amount of `name` in thousandths, zero when it is not there.
pub fn millis(list: &StringMap, name: &str) -> i64 {
    list.get(name).and_then(|text| Quantity::parse(text).ok()).map_or(0, |amount| amount.millis())
}

/// The amount of `name` in whole units, zero when it is not there.
pub fn whole(list: &StringMap, name: &str) -> i64 {
    list.get(name).and_then(|text| Quantity::parse(text).ok()).map_or(0, |amount| amount.value())
}

/// What the runtime is told about one container.
pub fn of_container(pod: &Pod, container: &Container, memory_capacity: i64) -> LinuxContainerResources {
    let limits = &container.resources.limits;
    let requests = &container.resources.requests;
    // A container without a CPU request gets what it is limited to.
    let cpu = if requests.contains_key("cpu") { millis(requests, "cpu") } else { millis(limits, "cpu") };
    let quota = Some(millis(limits, "cpu")).filter(|millis| *millis > 0).map(cpu_quota_us);
    LinuxContainerResources {
        cpu_period: PERIOD_US,
        cpu_quota: quota.unwrap_or(0),
        cpu_shares: cpu_shares(cpu),
        memory_limit_in_bytes: whole(limits, "memory"),
        oom_score_adj: oom_score(pod, container, memory_capacity),
        ..Default::default()
    }
}

/// Who is killed first when memory runs out: the less is requested of what is used, the sooner.
fn oom_score(pod: &Pod, container: &Container, memory_capacity: i64) -> i64 {
    if pod.spec.priority.is_some_and(|priority| priority >= 2_000_000_000) {
        return -997;
    }
    match QosClass::of(&pod.spec) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let requested = whole(&container.resources.requests, "memory");
            let share = 1000i128 * i128::from(requested) / i128::from(memory_capacity.max(1));
            (1000 - share as i64).clamp(3, 999)
        }
    }
}

/// What the pod's own group gets: the sum over its containers, or what the pod itself asks for.
pub fn of_pod(spec: &PodSpec) -> Limits {
    if QosClass::of(spec) == QosClass::BestEffort {
        return Limits { cpu_shares: SHARES_MIN, cpu_quota_us: None, memory_bytes: None };
    }
    let requests = total(spec, |resources| &resources.requests);
    let limits = total(spec, |resources| &resources.limits);
    Limits {
        cpu_shares: cpu_shares(requests.cpu_millis),
        cpu_quota_us: limits.all_have_cpu.then(|| cpu_quota_us(limits.cpu_millis)),
        memory_bytes: limits.all_have_memory.then_some(limits.memory_bytes),
    }
}

struct Total {
    cpu_millis: i64,
    memory_bytes: i64,
    all_have_cpu: bool,
    all_have_memory: bool,
}

/// Sums what runs at the same time: sidecars with the main containers; each init container alone.
fn total(spec: &PodSpec, of: fn(&Resources) -> &StringMap) -> Total {
    let (sidecars, init): (Vec<_>, Vec<_>) = spec.init_containers.iter().partition(|one| one.is_sidecar());
    let together: Vec<&StringMap> = spec.containers.iter().chain(sidecars).map(|one| of(&one.resources)).collect();
    let alone: Vec<&StringMap> = init.into_iter().map(|one| of(&one.resources)).collect();
    let of_pod = spec.resources.as_ref().map(of);
    let sum = |name: &str, read: fn(&StringMap, &str) -> i64| {
        let asked = of_pod.map_or(0, |list| read(list, name));
        let running: i64 = together.iter().map(|list| read(list, name)).sum();
        let before = alone.iter().map(|list| read(list, name)).max().unwrap_or(0);
        if asked > 0 { asked } else { running.max(before) }
    };
    let all_have = |name: &str| {
        of_pod.is_some_and(|list| list.contains_key(name)) || together.iter().all(|list| whole(list, name) > 0)
    };
    Total {
        cpu_millis: sum("cpu", millis),
        memory_bytes: sum("memory", whole),
        all_have_cpu: all_have("cpu"),
        all_have_memory: all_have("memory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(containers: &[&str]) -> PodSpec {
        let list =
            |text: &str| -> StringMap { text.split_whitespace().filter_map(|pair| pair.split_once('=')).collect() };
        let make = |text: &&str| Container {
            resources: Resources { requests: list(text), limits: list(text) },
            ..Default::default()
        };
        PodSpec { containers: containers.iter().map(make).collect(), ..PodSpec::default() }
    }

    #[test]
    fn a_pod_is_limited_only_where_all_its_containers_are() {
        let limited = of_pod(&spec(&["cpu=500m memory=64Mi", "cpu=250m memory=64Mi"]));
        assert_eq!(limited, Limits { cpu_shares: 768, cpu_quota_us: Some(75_000), memory_bytes: Some(128 << 20) });
        let partly = of_pod(&spec(&["cpu=500m memory=64Mi", "cpu=250m"]));
        assert_eq!((partly.cpu_quota_us, partly.memory_bytes), (Some(75_000), None));
        assert_eq!(of_pod(&spec(&[""])).cpu_shares, 2);
    }

    #[test]
    fn who_requests_little_is_killed_first() {
        let pod = |text: &str| {
            let mut spec = spec(&[text]);
            spec.containers[0].resources.limits = StringMap::new();
            Pod { spec, ..Pod::default() }
        };
        let score = |pod: &Pod| of_container(pod, &pod.spec.containers[0], 1 << 30).oom_score_adj;
        assert_eq!(score(&pod("")), 1000);
        assert_eq!(score(&pod("memory=512Mi")), 500);
        assert_eq!(score(&pod("memory=1Gi")), 3);
    }
}
