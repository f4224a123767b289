//! What a pod takes of quotas: itself, and what it asks for while it has not ended.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::object::quantity::Quantity;
use crate::object::sums::{Sum, add, amounts, container_sum, raise};
use crate::object::time::Timestamp;
use crate::object::tree::{Tree, TreePath};

const LIMITED: &[&str] = &[
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "pods",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// What each container must say how much it wants of, where a quota limits it.
const DEMANDED: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const PLAIN: &[&str] = &["cpu", "ephemeral-storage", "memory"];

pub fn is_limited(name: &str) -> bool {
    let extended = name.strip_prefix("requests.").is_some_and(|asked| is_extended(asked) || is_huge_page(asked));
    LIMITED.contains(&name) || is_huge_page(name) || extended
}

fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_extended(name: &str) -> bool {
    let domain = name.split_once('/').map(|(domain, _)| domain);
    domain.is_some_and(|domain| !domain.contains("kubernetes.io") || domain == "deviceclass.resource.kubernetes.io")
}

pub fn use_of(pod: &Tree, now: Timestamp) -> Sum {
    if has_ended(pod, now) {
        return Sum::new();
    }
    compute(&requests(pod), &limits(pod))
}

/// Ended pods, and those that should have, hold nothing.
fn has_ended(pod: &Tree, now: Timestamp) -> bool {
    if matches!(pod.text("status.phase"), "Failed" | "Succeeded") {
        return true;
    }
    let deleted = Timestamp::parse(pod.text("metadata.deletionTimestamp"));
    match (deleted, pod.int("metadata.deletionGracePeriodSeconds")) {
        (Some(at), Some(grace)) => now > at + Duration::from_secs(grace.max(0) as u64),
        _ => false,
    }
}

/// Requests and limits under the names that quotas have for them.
fn compute(requests: &Sum, limits: &Sum) -> Sum {
    let mut used = Sum::from([("pods".to_owned(), Quantity::from_int(1))]);
    for (name, amount) in requests {
        let both = PLAIN.contains(&name.as_str()) || is_huge_page(name);
        if both {
            used.insert(name.clone(), *amount);
        }
        if both || is_extended(name) {
            used.insert(format!("requests.{name}"), *amount);
        }
    }
    let named = limits.iter().filter(|(name, _)| PLAIN.contains(&name.as_str()));
    used.extend(named.map(|(name, amount)| (format!("limits.{name}"), *amount)));
    used
}

fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

fn has_pod_level(pod: &Tree) -> bool {
    let maps = ["spec.resources.requests", "spec.resources.limits"].map(|path| pod.map(path));
    maps.into_iter().flatten().flat_map(|map| map.keys()).any(|name| is_pod_level(name))
}

fn requests(pod: &Tree) -> Sum {
    let mut sum = total(pod, "requests");
    add(&mut sum, &amounts(pod, "spec.overhead"));
    sum
}

fn limits(pod: &Tree) -> Sum {
    let mut sum = total(pod, "limits");
    for (name, more) in amounts(pod, "spec.overhead") {
        if let Some(limit) = sum.get_mut(&name).filter(|limit| !limit.is_zero()) {
            *limit = *limit + more;
        }
    }
    sum
}

/// What the containers have or are about to get together, unless the pod as a whole says.
fn total(pod: &Tree, kind: &str) -> Sum {
    let statuses = pod.items("status.containerStatuses").iter().chain(pod.items("status.initContainerStatuses"));
    let statuses: BTreeMap<&str, &Tree> = statuses.map(|status| (status.text("name"), status)).collect();
    let hopeless = pod
        .items("status.conditions")
        .iter()
        .any(|condition| condition.text("type") == "PodResizePending" && condition.text("reason") == "Infeasible");
    let mut sum = container_sum(pod.get("spec").unwrap_or(&Tree::Null), |container| {
        let mut wanted = amounts(container, &format!("resources.{kind}"));
        let Some(status) = statuses.get(container.text("name")).filter(|status| status.has("resources")) else {
            return wanted;
        };
        if hopeless {
            wanted.clear();
        }
        raise(&mut wanted, &amounts(status, &format!("resources.{kind}")));
        if kind == "requests" {
            raise(&mut wanted, &amounts(status, "allocatedResources"));
        }
        wanted
    });
    let pod_level = amounts(pod, &format!("spec.resources.{kind}"));
    sum.extend(pod_level.into_iter().filter(|(name, _)| is_pod_level(name)));
    sum
}

/// Which of the limited resources `names` some containers say nothing of, in upstream's words.
pub fn missing<'n>(pod: &Tree, names: impl Iterator<Item = &'n str>) -> Option<String> {
    if has_pod_level(pod) {
        return None;
    }
    let containers = || pod.items("spec.containers").iter().chain(pod.items("spec.initContainers"));
    let silent = |name: &str| {
        let says = |container: &&Tree| {
            compute(&amounts(container, "resources.requests"), &amounts(container, "resources.limits"))
                .contains_key(name)
        };
        let mut silent: Vec<&str> =
            containers().filter(|container| !says(container)).map(|container| container.text("name")).collect();
        silent.sort_unstable();
        silent.dedup();
        (!silent.is_empty()).then(|| format!("{name} for: {}", silent.join(",")))
    };
    let mut names: Vec<&str> = names.filter(|name| DEMANDED.contains(name)).collect();
    names.sort_unstable();
    let told: Vec<String> = names.into_iter().filter_map(silent).collect();
    (!told.is_empty()).then(|| format!("must specify {}", told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn running_pods_take_what_they_ask_for_and_ended_ones_nothing() {
        let mut pod = json!({"spec": {
            "containers": [{"name": "c", "resources": {
                "requests": {"cpu": "1", "example.com/gpu": "2"}, "limits": {"cpu": "2", "example.com/gpu": "2"},
            }}],
            "overhead": {"cpu": "500m"},
        }});
        let shown = |pod: &Tree| {
            let used = use_of(pod, Timestamp::from_secs(0));
            used.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(&pod), "cpu=1500m limits.cpu=2500m pods=1 requests.cpu=1500m requests.example.com/gpu=2");
        pod.set("status.phase", "Succeeded");
        assert_eq!(shown(&pod), "");
    }

    #[test]
    fn containers_must_say_what_a_quota_limits() {
        let pod = json!({"spec": {"containers": [
            {"name": "b"}, {"name": "a", "resources": {"requests": {"cpu": "1"}}},
        ]}});
        let names = ["memory", "cpu", "pods"];
        assert_eq!(missing(&pod, names.into_iter()).unwrap(), "must specify cpu for: b; memory for: a,b");
    }
}
