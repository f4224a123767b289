//! PodResizeValidator: a pod grows no larger than its node.

use super::{Attributes, Plugin};
use crate::object::status::Cause;
use crate::object::sums::{add, amounts, container_requests};
use crate::object::tree::{Tree, TreePath};
use crate::object::{Quantity, Status};

pub struct PodResizeValidator;

impl Plugin for PodResizeValidator {
    fn validate(&self, on: &Attributes<'_>, pod: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        let (Some(pod), Some(old)) = (pod.filter(|_| on.is("pods/resize")), on.old) else { return Ok(()) };
        let name = pod.text("spec.nodeName");
        if name.is_empty() || pod.get("spec") == old.get("spec") {
            return Ok(());
        }
        let Some(node) = on.get("nodes", "", name) else {
            return Err(on.forbidden(pod, format!("node {name:?} not found")));
        };
        if let Some(os) = node.meta().label("kubernetes.io/os").filter(|os| *os != "linux") {
            let why = format!("pod resize is only supported on linux nodes, node {name:?} is {os:?}");
            return Err(because(on.forbidden(pod, why), "UnsupportedPlatform"));
        }
        match too_much(pod, &node.tree()) {
            Some(why) => Err(because(on.forbidden(pod, why), "NodeCapacity")),
            None => Ok(()),
        }
    }
}

/// What the node has less of than the pod asks for.
fn too_much(pod: &Tree, node: &Tree) -> Option<String> {
    let mut wanted = container_requests(pod.get("spec").unwrap_or(&Tree::Null));
    wanted.extend(amounts(pod, "spec.resources.requests"));
    add(&mut wanted, &amounts(pod, "spec.overhead"));
    let there = amounts(node, "status.allocatable");
    let shown: [(&str, fn(&Quantity) -> i64); 2] = [("cpu", Quantity::millis), ("memory", Quantity::value)];
    let lacking = shown.into_iter().filter_map(|(name, number)| {
        let of = |sum: &crate::object::sums::Sum| sum.get(name).copied().unwrap_or(Quantity::ZERO);
        let (wanted, there) = (of(&wanted), of(&there));
        (wanted > there).then(|| format!("{name}, requested: {}, allocatable: {}", number(&wanted), number(&there)))
    });
    let lacking: Vec<String> = lacking.collect();
    (!lacking.is_empty()).then(|| format!("node didn't have enough allocatable resources: {}", lacking.join("; ")))
}

fn because(status: Status, reason: &str) -> Status {
    let mut details = status.details.as_deref().cloned().unwrap_or_default();
    details.causes.push(Cause { reason: reason.into(), ..Cause::default() });
    status.with_details(details)
}
