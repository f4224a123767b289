//! RuntimeClass: a pod takes over its class's overhead and place.

use super::service_account::push;
use super::{Attributes, Plugin};
use crate::object::Status;
use crate::object::tree::{Map, Tree, TreePath};

const CLASSES: &str = "runtimeclasses.node.k8s.io";

pub struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn admit(&self, on: &Attributes<'_>, pod: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        let Some(class) = class_of(on, pod)? else { return Ok(()) };
        if let Some(overhead) = class.at("overhead.podFixed") {
            if pod.has("spec.overhead") && pod.at("spec.overhead") != Some(overhead) {
                return Err(
                    on.forbidden(pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
                );
            }
            pod.set("spec.overhead", overhead.clone());
        }
        for (key, value) in class.map("scheduling.nodeSelector").into_iter().flatten() {
            let present = pod.at("spec.nodeSelector").and_then(|selector| selector.get(key));
            if let Some(other) = present.filter(|present| *present != value) {
                let why = format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                    value.as_str().unwrap_or_default(),
                    other.as_str().unwrap_or_default()
                );
                return Err(on.forbidden(pod, why));
            }
            match pod.at_mut("spec.nodeSelector").and_then(Tree::as_object_mut) {
                Some(selector) => {
                    selector.insert(key.clone(), value.clone());
                }
                None => {
                    pod.set("spec.nodeSelector", Map::from_iter([(key.clone(), value.clone())]));
                }
            }
        }
        for toleration in class.items("scheduling.tolerations") {
            if !pod.items("spec.tolerations").contains(toleration) {
                push(pod, "spec.tolerations", toleration.clone());
            }
        }
        Ok(())
    }

    fn validate(&self, on: &Attributes<'_>, pod: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        let Some(pod) = pod.filter(|_| on.creates("pods")) else { return Ok(()) };
        let class = class_of(on, pod)?;
        let overhead = class.as_ref().and_then(|class| class.at("overhead.podFixed"));
        match (overhead, pod.at("spec.overhead").filter(|overhead| !overhead.is_null())) {
            (None, Some(_)) => {
                let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
                Err(on.forbidden(pod, why))
            }
            _ => Ok(()),
        }
    }
}

/// The class that a new pod names.
fn class_of(on: &Attributes<'_>, pod: &Tree) -> Result<Option<Tree>, Status> {
    let name = pod.text("spec.runtimeClassName");
    if !on.creates("pods") || name.is_empty() {
        return Ok(None);
    }
    match on.get(CLASSES, "", name) {
        Some(class) => Ok(Some(class.tree())),
        None => Err(on.forbidden(pod, format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}
