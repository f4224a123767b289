//! DefaultTolerationSeconds: a pod stays five minutes on a node that does not answer.

use super::service_account::push;
use super::{Attributes, Operation, Plugin};
use crate::object::Status;
use crate::object::tree::{Tree, TreePath, json};

const SECONDS: i64 = 300;
const TAINTS: &[&str] = &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn admit(&self, on: &Attributes<'_>, pod: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if !on.is("pods") || !matches!(on.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        for taint in TAINTS {
            if !pod.items("spec.tolerations").iter().any(|toleration| tolerates(toleration, taint)) {
                let toleration = json!({
                    "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
                });
                push(pod, "spec.tolerations", toleration);
            }
        }
        Ok(())
    }
}

fn tolerates(toleration: &Tree, taint: &str) -> bool {
    let (key, effect) = (toleration.text("key"), toleration.text("effect"));
    (key == taint || key.is_empty()) && matches!(effect, "" | "NoExecute")
}
