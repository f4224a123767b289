//! What a pod that is resized may use: all it asks for if that fits, what it had if not. Pure.

use super::admit::request;
use crate::kubelet::cgroups::amounts::{millis, whole};
use crate::kubelet::spec::{Container, Pod, Resources};
use crate::object::StringMap;
use crate::object::tree::{Tree, from_tree};

/// Why a pod does not have what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// `Deferred` until there is room, or `Infeasible` because there never will be.
    pub reason: &'static str,
    pub message: String,
}

/// `asked` as it is to run now, where `held` is how it ran until now.
pub fn allocate(asked: Pod, held: &Pod, others: &[&Pod], allocatable: &StringMap) -> (Pod, Option<Pending>) {
    let resources = |pod: &Pod| -> Vec<Resources> { containers(pod).map(|one| one.resources.clone()).collect() };
    if resources(&asked) == resources(held) {
        return (asked, None);
    }
    match obstacle(&asked, others, allocatable) {
        Some(pending) => (with_resources(asked, held), Some(pending)),
        None => (asked, None),
    }
}

fn obstacle(asked: &Pod, others: &[&Pod], allocatable: &StringMap) -> Option<Pending> {
    for (name, read) in [("cpu", millis as fn(&StringMap, &str) -> i64), ("memory", whole)] {
        let wanted = request(&asked.spec, name, read);
        let capacity = read(allocatable, name);
        if wanted > capacity {
            let message =
                format!("Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {capacity}");
            return Some(Pending { reason: "Infeasible", message });
        }
        let used: i64 = others.iter().map(|other| request(&other.spec, name, read)).sum();
        if wanted + used > capacity {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
            );
            return Some(Pending { reason: "Deferred", message });
        }
    }
    None
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.containers.iter().chain(&pod.spec.init_containers)
}

/// `pod` with the resources of `held`.
fn with_resources(mut pod: Pod, held: &Pod) -> Pod {
    let spec = &mut pod.spec;
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        if let Some(old) = containers(held).find(|old| old.name == container.name) {
            container.resources = old.resources.clone();
        }
    }
    pod
}

/// How a pod that already runs was told to run, by its status: this process may be newer than it.
pub fn held_by_status(pod: &Pod) -> Pod {
    let mut held = pod.clone();
    let lists = ["containerStatuses", "initContainerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod.status.get(list)?.as_array()).flatten();
    for status in statuses.filter(|status| status["containerID"].is_string()) {
        let spec = &mut held.spec;
        let mut all = spec.containers.iter_mut().chain(&mut spec.init_containers);
        let container = all.find(|container| status["name"] == container.name.as_str());
        if let (Some(container), Some(resources)) = (container, status.get("resources").and_then(read)) {
            container.resources = resources;
        }
    }
    held
}

fn read(resources: &Tree) -> Option<Resources> {
    from_tree(resources).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(cpu: &str) -> Pod {
        let container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        let status = json!({"containerStatuses": [
            {"name": "c", "containerID": "x://1", "resources": {"requests": {"cpu": "250m"}}}]});
        serde_json::from_value(json!({"spec": {"containers": [container]}, "status": status})).unwrap()
    }

    #[test]
    fn what_does_not_fit_waits_or_is_refused() {
        let allocatable = StringMap::from([("cpu", "2"), ("memory", "1Gi")]);
        let run = |asked: &str| {
            let (pod, pending) = allocate(pod(asked), &pod("500m"), &[&pod("1")], &allocatable);
            (pod.spec.containers[0].resources.requests["cpu"].to_owned(), pending.map(|pending| pending.reason))
        };
        assert_eq!(run("1"), ("1".into(), None));
        assert_eq!(run("1500m"), ("500m".into(), Some("Deferred")));
        assert_eq!(run("3"), ("500m".into(), Some("Infeasible")));
    }

    #[test]
    fn a_newer_process_goes_by_the_status() {
        assert_eq!(&held_by_status(&pod("2")).spec.containers[0].resources.requests["cpu"], "250m");
    }
}
