//! Numbered pods and their claims.

use super::REVISION_LABEL;
use crate::client::Seen;
use crate::controllers::shared::ownership::controller_ref;
use crate::controllers::shared::pods::from_template;
use crate::object::tree::json;
use crate::object::view::StatefulSet;
use crate::object::{Tree, TreePath};

const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The number at the end of a member's name.
pub fn ordinal(set: &str, name: &str) -> Option<i64> {
    let number = name.strip_prefix(set)?.strip_prefix('-')?;
    let canonical = number == "0" || !number.starts_with(['0', '+', '-']);
    number.parse().ok().filter(|_| canonical)
}

/// Pod number `ordinal`, as `template` has it.
pub fn member(set: &Seen<StatefulSet>, template: &Tree, ordinal: i64, revision: &str) -> Tree {
    let name = format!("{}-{ordinal}", set.name());
    let mut pod = from_template(set, template);
    pod.set("metadata.name", name.as_str());
    pod.set("metadata.generateName", format!("{}-", set.name()));
    pod.set_default("metadata.labels", json!({}));
    for (label, value) in [(NAME_LABEL, name.as_str()), (INDEX_LABEL, &ordinal.to_string()), (REVISION_LABEL, revision)]
    {
        pod["metadata"]["labels"][label] = value.into();
    }
    pod.set("spec.hostname", name.as_str());
    if !set.spec.service_name.is_empty() {
        pod.set("spec.subdomain", set.spec.service_name.as_str());
    }
    let claimed: Vec<Tree> = set
        .spec
        .volume_claim_templates
        .iter()
        .map(|template| {
            let volume = template.tree().text("metadata.name").to_owned();
            json!({"name": volume, "persistentVolumeClaim": {"claimName": format!("{volume}-{name}")}})
        })
        .collect();
    if !claimed.is_empty() {
        let is_claimed = |volume: &Tree| claimed.iter().any(|other| other["name"] == volume["name"]);
        let others: Vec<Tree> =
            pod.items("spec.volumes").iter().filter(|volume| !is_claimed(volume)).cloned().collect();
        pod.set("spec.volumes", claimed.into_iter().chain(others).collect::<Vec<_>>());
    }
    pod
}

/// The claims of pod number `ordinal`.
pub fn claims(set: &Seen<StatefulSet>, ordinal: i64) -> Vec<Tree> {
    let retention = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let goes_with_set = retention.is_some_and(|retention| retention.when_deleted == "Delete");
    let claims = set.spec.volume_claim_templates.iter().map(|template| {
        let mut claim = template.tree();
        let name = format!("{}-{}-{ordinal}", claim.text("metadata.name"), set.name());
        claim.set("metadata.name", name);
        claim.set("metadata.namespace", set.namespace());
        claim.set_default("metadata.labels", json!({}));
        for (key, value) in &set.spec.selector.match_labels {
            claim["metadata"]["labels"][key] = value.into();
        }
        claim.unset("status");
        if goes_with_set {
            claim.set("metadata.ownerReferences", json!([controller_ref(set)]));
        }
        claim
    });
    claims.collect()
}
