//! TaintNodesByCondition: a new node takes no pods until it said that it is ready.

use super::service_account::push;
use super::{Attributes, Plugin};
use crate::object::Status;
use crate::object::tree::{Tree, TreePath, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn admit(&self, on: &Attributes<'_>, node: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        let is_tainted = |taint: &Tree| taint.text("key") == NOT_READY && taint.text("effect") == "NoSchedule";
        if on.creates("nodes") && !node.items("spec.taints").iter().any(is_tainted) {
            push(node, "spec.taints", json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        Ok(())
    }
}
