//! Where a pod may run: node selectors, affinity, tolerations, spreading.

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::{labels, names};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn check_affinity(affinity: &At, errors: &mut FieldErrors) {
    let node = affinity.child("nodeAffinity");
    let required = node.child(REQUIRED);
    if required.exists() {
        check_node_selector(&required, errors);
    }
    for term in node.child(PREFERRED).items() {
        check_weight(&term.child("weight"), errors);
        check_term(&term.child("preference"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.child(kind);
        pods.child(REQUIRED).items().for_each(|term| check_pod_term(&term, errors));
        for weighted in pods.child(PREFERRED).items() {
            check_weight(&weighted.child("weight"), errors);
            check_pod_term(&weighted.child("podAffinityTerm"), errors);
        }
    }
}

fn check_weight(weight: &At, errors: &mut FieldErrors) {
    let value = weight.int().unwrap_or(0);
    if !(1..=100).contains(&value) {
        errors.invalid(&*weight.path, value, "must be in the range 1-100");
    }
}

/// A `NodeSelector`: at least one term.
pub fn check_node_selector(selector: &At, errors: &mut FieldErrors) {
    let terms = selector.child("nodeSelectorTerms");
    if terms.is_empty() {
        return terms.required(errors, "must have at least one node selector term");
    }
    terms.items().for_each(|term| check_term(&term, errors));
}

/// A `NodeSelectorTerm`. Values that no label can have are accepted, as upstream has always done.
fn check_term(term: &At, errors: &mut FieldErrors) {
    for requirement in term.child("matchExpressions").items() {
        let values = requirement.child("values");
        match requirement.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                values.required(errors, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                values.forbidden(errors, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if values.len() != 1 => {
                values.required(errors, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => (),
            _ => requirement.child("operator").invalid_text(errors, "not a valid selector operator"),
        }
        requirement.child("key").format(errors, names::is_qualified_name(requirement.text("key")));
    }
    for requirement in term.child("matchFields").items() {
        let (key, values) = (requirement.child("key"), requirement.child("values"));
        if !matches!(requirement.text("operator"), "In" | "NotIn") {
            requirement.child("operator").invalid_text(errors, "not a valid selector operator");
        } else if values.len() != 1 {
            values
                .required(errors, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
        }
        if key.str() != "metadata.name" {
            key.invalid_text(errors, "not a valid field selector key");
            continue;
        }
        values.items().for_each(|value| value.format(errors, names::is_dns1123_subdomain(value.str())));
    }
}

fn check_pod_term(term: &At, errors: &mut FieldErrors) {
    labels::check_selector(&term.child("labelSelector"), errors);
    labels::check_selector(&term.child("namespaceSelector"), errors);
    for namespace in term.child("namespaces").items() {
        for complaint in names::is_dns1123_label(namespace.str()) {
            errors.invalid(term.path_to("namespace"), namespace.str(), complaint);
        }
    }
    check_label_keys(term, errors);
    let topology = term.child("topologyKey");
    if topology.is_empty() {
        topology.required(errors, "can not be empty");
    }
    topology.format(errors, names::is_qualified_name(topology.str()));
}

/// `matchLabelKeys` and `mismatchLabelKeys` beside a `labelSelector`.
fn check_label_keys(term: &At, errors: &mut FieldErrors) {
    let selector = term.child("labelSelector");
    let (matching, mismatching) = (term.child("matchLabelKeys"), term.child("mismatchLabelKeys"));
    for keys in [&matching, &mismatching] {
        if keys.is_empty() {
            continue;
        }
        if !selector.exists() {
            keys.forbidden(errors, "must not be specified when labelSelector is not set");
            continue;
        }
        keys.items().for_each(|key| key.format(errors, names::is_qualified_name(key.str())));
    }
    let mut selected: BTreeSet<&str> = selector.child("matchLabels").entries().map(|(key, _)| key).collect();
    for requirement in selector.child("matchExpressions").items() {
        let key = requirement.text("key");
        if let Some(at) = matching.items().position(|wanted| wanted.str() == key && selected.contains(key)) {
            errors.invalid(format!("{}[{at}]", term.path), key, "exists in both matchLabelKeys and labelSelector");
        }
        selected.insert(key);
    }
    for key in matching.items().filter(|key| mismatching.items().any(|other| other.str() == key.str())) {
        key.invalid_text(errors, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

pub fn check_tolerations(tolerations: &At, errors: &mut FieldErrors) {
    for toleration in tolerations.items() {
        let (key, operator, value) = (toleration.child("key"), toleration.child("operator"), toleration.child("value"));
        let effect = toleration.child("effect");
        if !key.is_empty() {
            key.format(errors, names::is_qualified_name(key.str()));
        } else if operator.str() != "Exists" {
            operator.invalid_text(
                errors,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if toleration.has("tolerationSeconds") && effect.str() != "NoExecute" {
            effect.invalid_text(errors, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator.str() {
            "Equal" | "" => {
                let complaints = names::is_label_value(value.str());
                if !complaints.is_empty() {
                    errors.invalid(&*operator.path, value.str(), complaints.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.invalid(&*operator.path, value.str(), "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => (),
            "Lt" | "Gt" => operator.not_supported(errors, &["Equal", "Exists", "Lt", "Gt"]),
            _ => operator.not_supported(errors, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            check_effect(&effect, errors);
        }
    }
}

/// The effect of a taint or toleration that has one.
pub fn check_effect(effect: &At, errors: &mut FieldErrors) {
    const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
    if !EFFECTS.contains(&effect.str()) {
        effect.not_supported(errors, EFFECTS);
    }
}

pub fn check_spread(constraints: &At, errors: &mut FieldErrors) {
    let list: Vec<At> = constraints.items().collect();
    for (at, constraint) in list.iter().enumerate() {
        check_positive(&constraint.child("maxSkew"), errors);
        let (topology, action) = (constraint.child("topologyKey"), constraint.child("whenUnsatisfiable"));
        if topology.is_empty() {
            topology.required(errors, "can not be empty");
        }
        if !matches!(action.str(), "DoNotSchedule" | "ScheduleAnyway") {
            action.not_supported(errors, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let same =
            |other: &At| other.text("topologyKey") == topology.str() && other.text("whenUnsatisfiable") == action.str();
        if list[at + 1..].iter().any(same) {
            let path = constraint.path_to("{topologyKey, whenUnsatisfiable}");
            errors.duplicate(path, format!("{{{}, {}}}", topology.str(), action.str()));
        }
        let domains = constraint.child("minDomains");
        if domains.exists() {
            check_positive(&domains, errors);
            if action.str() != "DoNotSchedule" {
                let detail =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action.str());
                domains.invalid(errors, detail);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = constraint.child(policy);
            if policy.exists() && !matches!(policy.str(), "Honor" | "Ignore") {
                policy.not_supported(errors, &["Honor", "Ignore"]);
            }
        }
        check_label_keys(constraint, errors);
        labels::check_selector(&constraint.child("labelSelector"), errors);
    }
}

fn check_positive(number: &At, errors: &mut FieldErrors) {
    let value = number.int().unwrap_or(0);
    if value <= 0 {
        errors.invalid(&*number.path, value, "must be greater than zero");
    }
}

/// Whether each old toleration is still there; only how long it lasts may differ.
pub fn check_added_tolerations(new: &At, old: &[Tree], errors: &mut FieldErrors) {
    let core = |toleration: &Tree| {
        let mut core = toleration.clone();
        core.as_object_mut().map(|map| map.remove("tolerationSeconds"));
        core
    };
    let kept = |old: &Tree| new.items().any(|toleration| core(toleration.value) == core(old));
    if !old.iter().all(kept) {
        return new.forbidden(errors, "existing toleration can not be modified except its tolerationSeconds");
    }
    check_tolerations(new, errors);
}
