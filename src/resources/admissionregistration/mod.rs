//! Resources of admissionregistration.k8s.io.

mod expressions;
pub mod mutating_admission_policy;
pub mod mutating_admission_policy_binding;
pub mod mutating_webhook_configuration;
mod policy_checks;
mod rule_checks;
pub mod validating_admission_policy;
pub mod validating_admission_policy_binding;
pub mod validating_webhook_configuration;
mod webhook_checks;

use crate::object::tree::{Tree, TreePath};

fn param_kind(object: &Tree) -> Tree {
    match object.at("spec.paramKind") {
        Some(kind) => format!("{}/{}", kind.text("apiVersion"), kind.text("kind")).into(),
        None => "<unset>".into(),
    }
}

/// Where a binding's parameters are: by name, or by a selector as Go prints it.
fn param_ref(object: &Tree) -> Tree {
    let Some(reference) = object.at("spec.paramRef") else { return "<unset>".into() };
    match (reference.text("namespace"), reference.text("name"), reference.get("selector")) {
        ("", "", None) => "<unset>".into(),
        (_, "", Some(selector)) => go_selector(selector).into(),
        ("", name, _) => format!("*/{name}").into(),
        (namespace, name, _) => format!("{namespace}/{name}").into(),
    }
}

fn go_selector(selector: &Tree) -> String {
    let labels: String = selector
        .map("matchLabels")
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default()))
        .collect();
    let requirement = |requirement: &Tree| {
        let values: Vec<&str> = requirement.items("values").iter().filter_map(Tree::as_str).collect();
        let (key, operator) = (requirement.text("key"), requirement.text("operator"));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let requirements: String = selector.items("matchExpressions").iter().map(requirement).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
}
