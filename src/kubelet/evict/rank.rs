//! Who has to go first when the node is short of something. Pure.
//!
//! Whoever uses more than it asked for, then who matters least, then who uses the most beyond its
//! request.

use std::cmp::Reverse;
use std::fmt::Write;

use super::limits::LocalUse;
use super::signals::{Shared, bytes};
use crate::kubelet::cgroups::amounts::whole;
use crate::kubelet::spec::{Container, Pod};
use crate::kubelet::usage::Used;

/// Pods at least this important are never evicted.
pub const CRITICAL_PRIORITY: i64 = 2_000_000_000;

/// A pod that runs here, and what it uses.
pub struct Candidate<'a> {
    pub pod: &'a Pod,
    pub used: Vec<&'a Used>,
    pub local: LocalUse,
}

impl Candidate<'_> {
    fn uses(&self, shared: Shared) -> u64 {
        match shared {
            Shared::Memory => self.used.iter().map(|one| one.memory_bytes).sum(),
            Shared::Disk => self.local.total_bytes(),
            Shared::Inodes => self.local.inodes,
        }
    }

    fn asked_for(&self, shared: Shared) -> u64 {
        let name = match shared {
            Shared::Memory => "memory",
            Shared::Disk => "ephemeral-storage",
            Shared::Inodes => return 0,
        };
        let sidecars = self.pod.spec.init_containers.iter().filter(|one| one.is_sidecar());
        let all = self.pod.spec.containers.iter().chain(sidecars);
        all.map(|container| whole(&container.resources.requests, name).max(0) as u64).sum()
    }
}

/// The candidates that may be evicted, the first to go first.
pub fn order<'a, 'b>(candidates: &'b [Candidate<'a>], shared: Shared) -> Vec<&'b Candidate<'a>> {
    let mut ranked: Vec<&Candidate> = candidates.iter().filter(|one| !is_critical(one.pod)).collect();
    ranked.sort_by_key(|one| {
        let (uses, asked) = (one.uses(shared), one.asked_for(shared));
        (uses <= asked, one.pod.spec.priority.unwrap_or(0), Reverse(uses.saturating_sub(asked)))
    });
    ranked
}

pub fn is_critical(pod: &Pod) -> bool {
    pod.spec.priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY)
}

/// What is told of containers that use more than they asked for.
pub fn blame(candidate: &Candidate, shared: Shared) -> String {
    let mut text = String::new();
    let resource = shared.resource();
    let containers = candidate.pod.spec.containers.iter().chain(&candidate.pod.spec.init_containers);
    for container in containers {
        let Some(uses) = uses_of(candidate, container, shared) else { continue };
        let asked = whole(&container.resources.requests, resource).max(0) as u64;
        if uses > asked {
            let _ = write!(
                text,
                "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                container.name,
                bytes(uses),
                bytes(asked)
            );
        }
    }
    text
}

fn uses_of(candidate: &Candidate, container: &Container, shared: Shared) -> Option<u64> {
    match shared {
        Shared::Memory => candidate.used.iter().find(|one| one.container == container.name).map(|one| one.memory_bytes),
        Shared::Disk => candidate.local.containers.get(&container.name).copied(),
        Shared::Inodes => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_uses_more_than_it_asked_for_goes_before_who_matters_less() {
        let pod = |name: &str, request: &str, priority: i64| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"priority": priority, "containers": [
                {"name": "c", "resources": {"requests": {"memory": request}}}]}}))
            .unwrap()
        };
        let used = |mib: u64| Used { container: "c".into(), memory_bytes: mib << 20, ..Used::default() };
        let cases = [
            (pod("modest", "100Mi", 0), used(50)),
            (pod("greedy", "10Mi", 5), used(20)),
            (pod("greediest", "10Mi", 5), used(90)),
            (pod("vital", "10Mi", CRITICAL_PRIORITY), used(900)),
        ];
        let candidates: Vec<Candidate> =
            cases.iter().map(|(pod, used)| Candidate { pod, used: vec![used], local: LocalUse::default() }).collect();
        let ranked = order(&candidates, Shared::Memory);
        let names: Vec<&str> = ranked.iter().map(|one| one.pod.name()).collect();
        assert_eq!(names, ["greediest", "greedy", "modest"]);
        assert_eq!(
            blame(ranked[0], Shared::Memory),
            "Container c was using 90Mi, request is 10Mi, has larger consumption of memory. "
        );
    }
}
