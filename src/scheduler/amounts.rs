//! Amounts of resources, and what a pod asks for.

use std::collections::BTreeMap;

use crate::object::quantity::Quantity;
use crate::object::view::{self, Container, PodSpec};

/// CPU in thousandths, memory and storage in bytes, everything else in whole units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub cpu_millis: i64,
    pub memory: i64,
    pub storage: i64,
    pub others: BTreeMap<String, i64>,
}

/// What a container that asks for nothing is taken to need, when nodes are compared.
const ASSUMED_CPU_MILLIS: i64 = 100;
const ASSUMED_MEMORY: i64 = 200 * 1024 * 1024;

impl Amounts {
    pub fn of(amounts: &view::Amounts) -> Self {
        let mut sum = Self::default();
        for (name, text) in amounts {
            let Ok(quantity) = Quantity::parse(text) else { continue };
            match name {
                "cpu" => sum.cpu_millis = quantity.millis(),
                "memory" => sum.memory = quantity.value(),
                "ephemeral-storage" => sum.storage = quantity.value(),
                "pods" => (),
                other => drop(sum.others.insert(other.to_owned(), quantity.value())),
            }
        }
        sum
    }

    pub fn add(&mut self, other: &Self) {
        self.cpu_millis += other.cpu_millis;
        self.memory += other.memory;
        self.storage += other.storage;
        for (name, amount) in &other.others {
            *self.others.entry(name.clone()).or_default() += amount;
        }
    }

    pub fn subtract(&mut self, other: &Self) {
        self.cpu_millis -= other.cpu_millis;
        self.memory -= other.memory;
        self.storage -= other.storage;
        for (name, amount) in &other.others {
            *self.others.entry(name.clone()).or_default() -= amount;
        }
    }

    fn at_least(&mut self, other: &Self) {
        self.cpu_millis = self.cpu_millis.max(other.cpu_millis);
        self.memory = self.memory.max(other.memory);
        self.storage = self.storage.max(other.storage);
        for (name, amount) in &other.others {
            let entry = self.others.entry(name.clone()).or_default();
            *entry = (*entry).max(*amount);
        }
    }
}

/// What a pod needs at any moment of its life: all containers and sidecars together, or an init
/// container beside the sidecars started before it, whichever is more.
pub fn requests(spec: &PodSpec) -> Amounts {
    total(spec, |container| Amounts::of(&container.resources.requests))
}

/// As [`requests`], with something assumed for containers that ask for nothing.
pub fn assumed_requests(spec: &PodSpec) -> Amounts {
    total(spec, |container| {
        let requests = &container.resources.requests;
        let mut amounts = Amounts::of(requests);
        if !requests.contains_key("cpu") {
            amounts.cpu_millis = ASSUMED_CPU_MILLIS;
        }
        if !requests.contains_key("memory") {
            amounts.memory = ASSUMED_MEMORY;
        }
        amounts
    })
}

fn total(spec: &PodSpec, of: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut sum = Amounts::default();
    spec.containers.iter().for_each(|container| sum.add(&of(container)));
    let (mut sidecars, mut peak) = (Amounts::default(), Amounts::default());
    for container in &spec.init_containers {
        let mut beside = of(container);
        beside.add(&sidecars);
        peak.at_least(&beside);
        if container.is_sidecar() {
            sidecars.add(&of(container));
        }
    }
    sum.add(&sidecars);
    sum.at_least(&peak);
    if let Some(pod_level) = &spec.resources {
        let stated = Amounts::of(&pod_level.requests);
        if pod_level.requests.contains_key("cpu") {
            sum.cpu_millis = stated.cpu_millis;
        }
        if pod_level.requests.contains_key("memory") {
            sum.memory = stated.memory;
        }
    }
    sum.add(&Amounts::of(&spec.overhead));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_containers_count_beside_the_sidecars_before_them() {
        let spec: PodSpec = serde_json::from_str(
            r#"{
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [
                    {"resources": {"requests": {"cpu": "500m"}}, "restartPolicy": "Always"},
                    {"resources": {"requests": {"cpu": "3"}}}
                ],
                "overhead": {"cpu": "10m"}
            }"#,
        )
        .unwrap();
        assert_eq!(requests(&spec).cpu_millis, 3510);
    }
}
