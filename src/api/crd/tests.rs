//! Custom resources by whole requests.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;

use crate::api::tests::{World, world};
use crate::object::tree::{Tree, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

/// The definition of widgets, whose size may be no more than `max`.
fn definition(max: i64) -> Tree {
    let rule = json!({"rule": format!("self <= {max}"), "message": "too large"});
    let size = json!({"type": "integer", "x-kubernetes-validations": [rule]});
    let spec = json!({"type": "object", "properties": {"size": size, "other": {"type": "integer"}}});
    let status = json!({"type": "object", "properties": {"seen": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": status}});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": [version],
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        },
    })
}

/// The code of the answer to a merge patch, and its warnings.
async fn patch(world: &World, path: &str, body: Tree) -> (u16, Vec<String>) {
    let request = Request::patch(path).header("content-type", "application/merge-patch+json");
    let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let answer = world.api.answer(request, &world.admin()).await;
    let warnings = answer.headers().get_all(header::WARNING).iter();
    (answer.status().as_u16(), warnings.map(|one| one.to_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn an_object_that_its_definition_outgrew_may_stay_and_is_warned_of() {
    let world = world().await;
    super::start(&world.api, &world.api.scope);
    assert_eq!(world.send(&format!("POST {DEFINITIONS}"), definition(10)).await.0, 201);
    let metadata = json!({"name": "w"});
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": {"size": 10}});
    let mut created = 404;
    for _ in 0..1_000 {
        created = world.send(&format!("POST {WIDGETS}"), widget.clone()).await.0;
        if created == 201 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(created, 201);
    let at = format!("{WIDGETS}/w");
    assert_eq!(patch(&world, &at, json!({"spec": {"other": 1}})).await, (200, vec![]));

    let stricter = json!({"spec": definition(5)["spec"]});
    assert_eq!(patch(&world, &format!("{DEFINITIONS}/widgets.example.com"), stricter).await.0, 200);
    let warning = vec![r#"299 - "spec.size: Invalid value: 10: too large""#.to_owned()];
    let mut told = (0, vec![]);
    for other in 2..1_000 {
        told = patch(&world, &at, json!({"spec": {"other": other}})).await;
        if !told.1.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(told, (200, warning.clone()));
    assert_eq!(patch(&world, &format!("{at}/status"), json!({"status": {"seen": 1}})).await, (200, warning));
    assert_eq!(patch(&world, &at, json!({"spec": {"size": 9}})).await, (422, vec![]));
    assert_eq!(patch(&world, &at, json!({"spec": {"size": 5}})).await, (200, vec![]));
    world.api.scope.cancel();
}
