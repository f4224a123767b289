//! Quality of service: which pods suffer first when the machine is short.

use crate::kubelet::spec::{PodSpec, Resources};
use crate::object::quantity::Quantity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosClass {
    /// Every container has equal requests and limits for CPU and memory.
    Guaranteed,
    Burstable,
    /// Nothing is requested and nothing limited.
    BestEffort,
}

impl QosClass {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }

    pub fn of(spec: &PodSpec) -> Self {
        let of_containers = || spec.init_containers.iter().chain(&spec.containers).map(|one| &one.resources);
        let of_pod = spec.resources.iter().filter(|resources| amounts(resources).next().is_some());
        let all: Vec<&Resources> = match of_pod.clone().next() {
            Some(resources) => vec![resources],
            None => of_containers().collect(),
        };
        if !all.iter().any(|resources| amounts(resources).next().is_some()) {
            return Self::BestEffort;
        }
        if all.iter().all(|resources| is_guaranteed(resources)) { Self::Guaranteed } else { Self::Burstable }
    }
}

/// CPU and memory amounts that are not zero.
fn amounts(resources: &Resources) -> impl Iterator<Item = Quantity> {
    let both = resources.requests.iter().chain(&resources.limits);
    both.filter(|(name, _)| matches!(*name, "cpu" | "memory"))
        .filter_map(|(_, amount)| Quantity::parse(amount).ok())
        .filter(|amount| !amount.is_zero())
}

fn is_guaranteed(resources: &Resources) -> bool {
    ["cpu", "memory"].iter().all(|name| {
        let amount = |list: &crate::object::StringMap| Quantity::parse(list.get(*name)?).ok();
        let limit = amount(&resources.limits).filter(|limit| !limit.is_zero());
        // What is not requested is requested as it is limited.
        limit.is_some_and(|limit| amount(&resources.requests).is_none_or(|request| request == limit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(containers: &[(&str, &str)]) -> QosClass {
        let parse = |text: &str| text.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
        let containers = containers.iter().map(|(requests, limits)| crate::kubelet::spec::Container {
            resources: Resources { requests: parse(requests), limits: parse(limits) },
            ..Default::default()
        });
        QosClass::of(&PodSpec { containers: containers.collect(), ..PodSpec::default() })
    }

    #[test]
    fn the_weakest_container_decides() {
        assert_eq!(class_of(&[("", "")]), QosClass::BestEffort);
        assert_eq!(class_of(&[("cpu=1 memory=1Gi", "cpu=1000m memory=1024Mi")]), QosClass::Guaranteed);
        assert_eq!(class_of(&[("cpu=1 memory=1Gi", "cpu=1 memory=1Gi"), ("", "")]), QosClass::Burstable);
        assert_eq!(class_of(&[("cpu=0", "")]), QosClass::BestEffort);
    }
}
