//! Whether a quota's scopes take in an object.

use crate::object::sums::qos_class;
use crate::object::tree::{Tree, TreePath};

use super::speaks_of;

/// Whether `quota` (by the limits in its status) is about this object of `resource`.
pub fn covers(quota: &Tree, resource: &str, object: &Tree) -> bool {
    let limits_it = quota.map("status.hard").is_some_and(|hard| hard.keys().any(|name| speaks_of(name, resource)));
    limits_it && in_scope(quota, resource, object)
}

/// Whether all scopes of the quota take in the object. Scopes are about pods (and one about claims).
pub fn in_scope(quota: &Tree, resource: &str, object: &Tree) -> bool {
    let plain = quota.items("spec.scopes").iter().filter_map(Tree::as_str);
    let mut chosen = quota.items("spec.scopeSelector.matchExpressions").iter();
    plain.map(|scope| has(resource, object, scope, "Exists", &[])).all(|yes| yes)
        && chosen.all(|rule| has(resource, object, rule.text("scopeName"), rule.text("operator"), rule.items("values")))
}

fn has(resource: &str, object: &Tree, scope: &str, operator: &str, values: &[Tree]) -> bool {
    if resource != "pods" {
        return false;
    }
    let terminating = || object.int("spec.activeDeadlineSeconds").is_some_and(|secs| secs >= 0);
    let best_effort = || object.get("spec").is_some_and(|spec| qos_class(spec) == "BestEffort");
    match scope {
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "CrossNamespacePodAffinity" => crosses_namespaces(object),
        "PriorityClass" => {
            let class = object.text("spec.priorityClassName");
            let listed = values.iter().any(|value| value == class);
            match operator {
                "In" => !class.is_empty() && listed,
                "NotIn" => class.is_empty() || !listed,
                "DoesNotExist" => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
        _ => false,
    }
}

fn crosses_namespaces(pod: &Tree) -> bool {
    let crosses = |term: &Tree| !term.items("namespaces").is_empty() || term.has("namespaceSelector");
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let list =
            |name: &str| pod.items(&format!("spec.affinity.{kind}.{name}DuringSchedulingIgnoredDuringExecution"));
        list("required").iter().any(crosses)
            || list("preferred").iter().filter_map(|term| term.get("podAffinityTerm")).any(crosses)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn every_scope_must_hold() {
        let quota = json!({
            "spec": {"scopes": ["BestEffort", "NotTerminating"]}, "status": {"hard": {"pods": "1"}},
        });
        let mut pod = json!({"spec": {"containers": [{"name": "c"}]}});
        assert!(covers(&quota, "pods", &pod));
        pod.set("spec.activeDeadlineSeconds", 5);
        assert!(!covers(&quota, "pods", &pod));
        assert!(!covers(&quota, "services", &json!({})));
    }

    #[test]
    fn classes_are_chosen_by_name() {
        let rule = |operator: &str| {
            json!({"spec": {"scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": operator, "values": ["high"]},
            ]}}})
        };
        let high = json!({"spec": {"priorityClassName": "high"}});
        assert!(in_scope(&rule("In"), "pods", &high) && !in_scope(&rule("NotIn"), "pods", &high));
        assert!(in_scope(&rule("NotIn"), "pods", &json!({})));
    }
}
