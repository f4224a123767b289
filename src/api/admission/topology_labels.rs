//! PodTopologyLabels: a pod carries the zone and region of its node, for its own downward API.

use super::{Attributes, Plugin};
use crate::object::Status;
use crate::object::tree::{Map, Tree, TreePath};

pub const COPIED: &[&str] = &["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

pub struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn admit(&self, on: &Attributes<'_>, pod: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if !on.creates("pods") || pod.text("spec.nodeName").is_empty() {
            return Ok(());
        }
        let Some(node) = on.get("nodes", "", pod.text("spec.nodeName")) else { return Ok(()) };
        for label in COPIED {
            if let Some(value) = node.meta().label(label) {
                set_label(pod, label, value);
            }
        }
        Ok(())
    }
}

pub fn set_label(object: &mut Tree, label: &str, value: &str) {
    if !object.has("metadata.labels") {
        object.set("metadata.labels", Map::new());
    }
    if let Some(labels) = object.at_mut("metadata.labels").and_then(Tree::as_object_mut) {
        labels.insert(label.to_owned().into(), value.into());
    }
}
