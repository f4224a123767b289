//! A request as a SubjectAccessReview: what webhooks are asked and match conditions read.

use super::{Ask, ResourceRef, What};
use crate::api::selector::{LabelQuery, field_terms};
use crate::object::User;
use crate::object::tree::{Tree, json};

/// The versions of SubjectAccessReview that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V1Beta1,
}

impl Version {
    pub const NAMES: &[&str] = &["v1", "v1beta1"];

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        if self == Self::V1 { "v1" } else { "v1beta1" }
    }
}

/// What is sent: the review that asks `ask`.
pub fn review(ask: &Ask<'_>, version: Version) -> Tree {
    let mut spec = whole(ask);
    without_empty(&mut spec);
    if version == Version::V1Beta1
        && let Some(map) = spec.as_object_mut()
        && let Some(groups) = map.remove("groups")
    {
        map.insert("group".into(), groups);
    }
    json!({
        "kind": "SubjectAccessReview", "apiVersion": format!("authorization.k8s.io/{}", version.name()),
        "metadata": {}, "spec": spec, "status": {"allowed": false},
    })
}

/// The `spec` of the review with every field of its own, also those that are empty.
pub fn whole(ask: &Ask<'_>) -> Tree {
    let User { name, uid, groups, extra } = ask.user;
    let mut spec = json!({"user": name, "groups": groups, "uid": uid, "extra": extra});
    match ask.what {
        What::Path(path) => spec["nonResourceAttributes"] = json!({"path": path, "verb": ask.verb}),
        What::Resource(at) => spec["resourceAttributes"] = attributes(ask.verb, &at),
    }
    spec
}

fn attributes(verb: &str, at: &ResourceRef<'_>) -> Tree {
    let mut attributes = json!({
        "namespace": at.namespace, "verb": verb, "group": at.group, "version": at.version, "resource": at.resource,
        "subresource": at.subresource, "name": at.name,
    });
    // What cannot be understood is left out, which only asks for more.
    let fields: Vec<Tree> = field_terms(at.fields)
        .unwrap_or_default()
        .into_iter()
        .map(|term| {
            let operator = if term.negated { "NotIn" } else { "In" };
            json!({"key": term.field, "operator": operator, "values": [term.value]})
        })
        .collect();
    if !fields.is_empty() {
        attributes["fieldSelector"] = json!({"requirements": fields});
    }
    let labels = LabelQuery::parse(at.labels).map(|query| query.as_requirements()).unwrap_or_default();
    if !labels.is_empty() {
        attributes["labelSelector"] = json!({"requirements": labels});
    }
    attributes
}

/// Takes out what Go's encoder would not write.
fn without_empty(tree: &mut Tree) {
    let Tree::Object(map) = tree else { return };
    map.iter_mut().for_each(|(_, value)| without_empty(value));
    map.retain(|_, value| match value {
        Tree::String(text) => !text.is_empty(),
        Tree::Array(items) => !items.is_empty(),
        Tree::Object(map) => !map.is_empty(),
        _ => true,
    });
}

/// What a webhook answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub is_allowed: bool,
    pub is_denied: bool,
    pub reason: String,
}

/// Reads a review that was answered. The error says what it is instead.
pub fn verdict(review: &Tree) -> Result<Verdict, String> {
    use crate::object::tree::TreePath;
    let kind = review.text("kind");
    if !review.is_object() || !matches!(kind, "" | "SubjectAccessReview") {
        return Err(format!("the answer is no SubjectAccessReview but {kind:?}"));
    }
    Ok(Verdict {
        is_allowed: review.flag("status.allowed").unwrap_or(false),
        is_denied: review.flag("status.denied").unwrap_or(false),
        reason: review.text("status.reason").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn user() -> User {
        let extra = BTreeMap::from([("scopes".to_owned(), vec!["a".to_owned()])]);
        User { name: "jane".into(), uid: "1".into(), groups: vec!["g".into()], extra: extra.into_iter().collect() }
    }

    #[test]
    fn a_review_says_what_is_asked_and_nothing_that_is_empty() {
        let user = user();
        let at = ResourceRef {
            resource: "pods",
            version: "v1",
            namespace: "kittens",
            fields: "spec.nodeName=n1,a!=b",
            labels: "x in (1,2),!y",
            ..ResourceRef::default()
        };
        let told = review(&Ask::resource(&user, "list", at), Version::V1);
        assert_eq!(
            told["spec"],
            json!({
                "user": "jane", "groups": ["g"], "uid": "1", "extra": {"scopes": ["a"]},
                "resourceAttributes": {
                    "namespace": "kittens", "verb": "list", "version": "v1", "resource": "pods",
                    "fieldSelector": {"requirements": [
                        {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
                        {"key": "a", "operator": "NotIn", "values": ["b"]},
                    ]},
                    "labelSelector": {"requirements": [
                        {"key": "x", "operator": "In", "values": ["1", "2"]},
                        {"key": "y", "operator": "DoesNotExist"},
                    ]},
                },
            })
        );
    }

    #[test]
    fn the_old_version_calls_groups_group() {
        let user = user();
        let told = review(&Ask::path(&user, "get", "/x"), Version::V1Beta1);
        assert_eq!((told["spec"].get("groups"), &told["spec"]["group"]), (None, &json!(["g"])));
        assert_eq!(told["spec"]["nonResourceAttributes"], json!({"path": "/x", "verb": "get"}));
        assert_eq!(told["apiVersion"], json!("authorization.k8s.io/v1beta1"));
    }

    #[test]
    fn an_answer_of_another_kind_is_none() {
        let answer = json!({"kind": "SubjectAccessReview", "status": {"allowed": true, "reason": "r"}});
        assert_eq!(verdict(&answer).unwrap(), Verdict { is_allowed: true, is_denied: false, reason: "r".into() });
        assert!(verdict(&json!({"kind": "Pod"})).is_err() && verdict(&json!([])).is_err());
        assert_eq!(verdict(&json!({})).unwrap(), Verdict::default());
    }
}
