//! Situations and what must come of them.

use super::*;
use crate::object::schema::builtin;
use crate::object::tree::json;

fn patched(kind: &str, document: Tree, patch: Tree) -> Result<Tree, Status> {
    let (api_version, kind) = kind.rsplit_once('/').unwrap();
    let schema = builtin().kind(api_version, kind).unwrap();
    apply(document, patch.to_string().as_bytes(), schema).map(|patched| patched.tree)
}

fn containers(list: Tree) -> Tree {
    json!({"spec": {"containers": list}})
}

#[test]
fn lists_with_a_key_are_merged_and_new_elements_come_first() {
    let merged = patched(
        "v1/Pod",
        containers(json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}])),
        containers(
            json!([{"name": "c", "image": "c:1"}, {"name": "b", "image": "b:2", "env": [{"name": "X", "value": null}]}]),
        ),
    );
    assert_eq!(
        merged.unwrap(),
        containers(
            json!([{"name": "c", "image": "c:1"}, {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2", "env": [{"name": "X"}]}])
        )
    );
}

#[test]
fn directives_delete_replace_and_retain() {
    let document = containers(json!([{"name": "a", "args": ["1"]}, {"name": "b"}]));
    let deleted = patched("v1/Pod", document.clone(), containers(json!([{"name": "a", "$patch": "delete"}])));
    assert_eq!(deleted.unwrap(), containers(json!([{"name": "b"}])));
    let replaced = patched("v1/Pod", document, containers(json!([{"$patch": "replace"}, {"name": "z"}])));
    assert_eq!(replaced.unwrap(), containers(json!([{"name": "z"}])));
    let strategy = |value: Tree| json!({"spec": {"strategy": value}});
    let retained = patched(
        "apps/v1/Deployment",
        strategy(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}})),
        strategy(json!({"$retainKeys": ["type"], "type": "Recreate"})),
    );
    assert_eq!(retained.unwrap(), strategy(json!({"type": "Recreate"})));
    let labels = patched(
        "v1/ConfigMap",
        json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
        json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}, "annotations": {"x": null}}}),
    );
    assert_eq!(labels.unwrap(), json!({"metadata": {"labels": {"c": "3"}, "annotations": {}}}));
}

#[test]
fn primitive_lists_are_merged_deleted_from_and_ordered() {
    let finalizers = |list: Tree| json!({"metadata": {"finalizers": list}});
    let merged = patched("v1/ConfigMap", finalizers(json!(["a", "b"])), finalizers(json!(["c", "a"])));
    assert_eq!(merged.unwrap(), finalizers(json!(["c", "a", "b"])));
    let less = patched(
        "v1/ConfigMap",
        finalizers(json!(["a", "b", "c"])),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["c", "a"]}}),
    );
    assert_eq!(less.unwrap(), finalizers(json!(["c", "a"])));
}

#[test]
fn element_order_is_set_and_checked() {
    let document = containers(json!([{"name": "a"}, {"name": "b"}, {"name": "x"}]));
    let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "b:2"}]}});
    assert_eq!(
        patched("v1/Pod", document.clone(), patch).unwrap(),
        containers(json!([{"name": "b", "image": "b:2"}, {"name": "a"}, {"name": "x"}]))
    );
    let wrong = json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b", "image": "b:8"}]}});
    assert_eq!(
        patched("v1/Pod", document, wrong).unwrap_err().message,
        "The order in patch list:\n[map[image:b:8 name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n"
    );
}
