//! Where pods may go: taints and tolerations, node affinity, pod affinity, spreading.
//!
//! The matching rules live here because scheduler, daemonset controller and taint eviction share them.

use super::selector::{LabelSelector, Requirement};
use crate::object::StringMap;
use crate::object::time::Timestamp;

fields! {
    Taint {
        key: String,
        value: String,
        effect: String,
        time_added: Option<Timestamp>,
    }

    Toleration {
        key: String,
        operator: String,
        value: String,
        effect: String,
        toleration_seconds: Option<i64>,
    }

    Affinity {
        node_affinity: Option<NodeAffinity>,
        pod_affinity: Option<PodAffinity>,
        pod_anti_affinity: Option<PodAffinity>,
    }

    NodeAffinity {
        #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
        required: Option<NodeSelector>,
        #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
        preferred: Vec<PreferredNodes>,
    }

    /// Any of the terms must match.
    NodeSelector {
        node_selector_terms: Vec<NodeTerm>,
    }

    /// All of the requirements must hold; an empty term matches nothing.
    NodeTerm {
        match_expressions: Vec<Requirement>,
        match_fields: Vec<Requirement>,
    }

    PreferredNodes {
        weight: i64,
        preference: NodeTerm,
    }

    PodAffinity {
        #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
        required: Vec<PodTerm>,
        #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
        preferred: Vec<PreferredPods>,
    }

    PodTerm {
        label_selector: Option<LabelSelector>,
        namespaces: Vec<String>,
        namespace_selector: Option<LabelSelector>,
        topology_key: String,
        match_label_keys: Vec<String>,
        mismatch_label_keys: Vec<String>,
    }

    PreferredPods {
        weight: i64,
        pod_affinity_term: PodTerm,
    }

    SpreadConstraint {
        max_skew: i64,
        topology_key: String,
        when_unsatisfiable: String,
        label_selector: Option<LabelSelector>,
        min_domains: Option<i64>,
        node_affinity_policy: Option<String>,
        node_taints_policy: Option<String>,
        match_label_keys: Vec<String>,
    }
}

impl Toleration {
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        let key = self.key.is_empty() || self.key == taint.key;
        let value = match self.operator.as_str() {
            "" | "Equal" => self.value == taint.value,
            "Exists" => true,
            "Gt" => self.compare(taint, |taint, mine| taint > mine),
            "Lt" => self.compare(taint, |taint, mine| taint < mine),
            _ => false,
        };
        effect && key && value
    }

    fn compare(&self, taint: &Taint, holds: impl Fn(i64, i64) -> bool) -> bool {
        matches!((taint.value.parse(), self.value.parse()), (Ok(taint), Ok(mine)) if holds(taint, mine))
    }
}

/// The first taint with one of `effects` that no toleration covers.
pub fn untolerated<'t>(taints: &'t [Taint], tolerations: &[Toleration], effects: &[&str]) -> Option<&'t Taint> {
    taints
        .iter()
        .filter(|taint| effects.contains(&taint.effect.as_str()))
        .find(|taint| !tolerations.iter().any(|toleration| toleration.tolerates(taint)))
}

impl NodeSelector {
    pub fn matches(&self, labels: &StringMap, name: &str) -> bool {
        self.node_selector_terms.iter().any(|term| term.matches(labels, name))
    }
}

impl NodeTerm {
    pub fn matches(&self, labels: &StringMap, name: &str) -> bool {
        if self.match_expressions.is_empty() && self.match_fields.is_empty() {
            return false;
        }
        let field = |requirement: &Requirement| {
            let is_named = requirement.values.iter().any(|value| value == name);
            match (requirement.key.as_str(), requirement.operator.as_str()) {
                ("metadata.name", "In") => is_named,
                ("metadata.name", "NotIn") => !is_named,
                _ => false,
            }
        };
        self.match_expressions.iter().all(|requirement| requirement.matches(labels))
            && self.match_fields.iter().all(field)
    }
}

/// Whether a pod with this selector and affinity may run on the node.
pub fn node_matches(
    node_selector: &StringMap,
    affinity: Option<&Affinity>,
    labels: &StringMap,
    node_name: &str,
) -> bool {
    let required =
        affinity.and_then(|affinity| affinity.node_affinity.as_ref()).and_then(|nodes| nodes.required.as_ref());
    node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|required| required.matches(labels, node_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_cover_by_key_value_and_effect() {
        let taint = |key: &str, value: &str| Taint {
            key: key.into(),
            value: value.into(),
            effect: "NoSchedule".into(),
            time_added: None,
        };
        let taints = [taint("a", "1"), taint("b", "")];
        let exists = Toleration { key: "b".into(), operator: "Exists".into(), ..Toleration::default() };
        let equal = Toleration { key: "a".into(), value: "1".into(), ..Toleration::default() };
        let left = |tolerations: &[Toleration]| {
            untolerated(&taints, tolerations, &["NoSchedule"]).map(|taint| taint.key.clone())
        };
        assert_eq!(left(&[]), Some("a".into()));
        assert_eq!(left(std::slice::from_ref(&equal)), Some("b".into()));
        assert_eq!(left(&[equal, exists]), None);
    }
}
