//! Calls as they leave, and answers as they come back.

use super::*;
use crate::object::tree::json;
use crate::object::{Body, Event, Options, PatchKind, Reply, Target, User, Verb};

fn call(verb: Verb, path: &str, options: Options, body: Body) -> Call {
    // group/version/namespace/resource/name/subresource
    let parts: Vec<&str> = path.splitn(6, '/').collect();
    let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
    let target = Target {
        group: part(0),
        version: part(1),
        namespace: part(2),
        resource: part(3),
        name: part(4),
        subresource: part(5),
    };
    Call { user: User::named("u", &[]), verb, target, options, body, user_agent: "test".into() }
}

fn sent(verb: Verb, path: &str, options: Options, body: Body) -> String {
    let wire = Wire::of(&call(verb, path, options, body)).unwrap();
    let body = String::from_utf8(wire.body.to_vec()).unwrap();
    format!("{} {} {}{}{body}", wire.method, wire.path, wire.content_type, if body.is_empty() { "" } else { " " })
        .trim_end()
        .to_owned()
}

#[test]
fn calls_become_the_requests_of_any_client() {
    let none = Options::default;
    assert_eq!(sent(Verb::Get, "/v1/ns/pods/web/log", none(), Body::None), "GET /api/v1/namespaces/ns/pods/web/log");
    assert_eq!(
        sent(Verb::Create, "apps/v1/ns/deployments", none(), Body::Tree(json!({"a": 1}))),
        r#"POST /apis/apps/v1/namespaces/ns/deployments application/json {"a":1}"#
    );
    let watch = Options {
        label_selector: "a in (b,c)".into(),
        resource_version: "5".into(),
        allow_watch_bookmarks: true,
        ..none()
    };
    assert_eq!(
        sent(Verb::Watch, "/v1//nodes", watch, Body::None),
        "GET /api/v1/nodes?labelSelector=a%20in%20%28b%2Cc%29&resourceVersion=5&allowWatchBookmarks=true&watch=true"
    );
    let apply = Options { field_manager: "me".into(), force: Some(true), ..none() };
    assert_eq!(
        sent(Verb::Patch, "/v1//nodes/n/status", apply, Body::Patch(PatchKind::Apply, "{}".into())),
        "PATCH /api/v1/nodes/n/status?fieldManager=me&force=true application/apply-patch+yaml {}"
    );
}

#[test]
fn list_items_get_their_kind_and_key_back() {
    let body = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"t"},
        "items":[{"metadata":{"name":"a","namespace":"ns","resourceVersion":"7"}}]}"#;
    let call = call(Verb::List, "/v1/ns/pods", Options::default(), Body::None);
    let Reply::List(list) = reply::read(&call, false, body.into()).unwrap() else { panic!("no list") };
    assert_eq!((list.revision.0, list.continue_token.as_str()), (9, "t"));
    assert_eq!(list.items[0].key().as_str(), "pods/ns/a");
    assert_eq!(list.items[0].revision().0, 7);
    assert!(list.items[0].bytes().starts_with(br#"{"kind":"Pod","apiVersion":"v1","metadata""#));
}

#[test]
fn a_null_list_is_empty_and_a_token_is_no_object() {
    let list = call(Verb::List, "/v1/ns/pods", Options::default(), Body::None);
    let body = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":null}"#;
    assert!(matches!(reply::read(&list, false, body.into()), Ok(Reply::List(list)) if list.items.is_empty()));
    let token = call(Verb::Create, "/v1/ns/serviceaccounts/bot/token", Options::default(), Body::None);
    let body = r#"{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","status":{"token":"t"}}"#;
    assert!(matches!(reply::read(&token, true, body.into()), Ok(Reply::Tree { created: true, .. })));
}

#[test]
fn events_are_cut_out_of_the_stream_wherever_it_breaks() {
    let text = concat!(
        r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"3"}}}"#,
        "\n",
        r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
        "\n\n",
        r#"{"type":"ERROR","object":{"kind":"Status","reason":"Expired","message":"too old","code":410}}"#,
        "\n",
    );
    for size in [1, 7, 50, 1000] {
        let mut lines = Lines::of(Target { resource: "nodes".into(), ..Target::default() }.group_resource());
        let mut seen = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            lines.feed(chunk);
            while let Some(event) = lines.next() {
                seen.push(match event {
                    Ok(Event::Added(object)) => format!("+{}@{}", object.key(), object.revision()),
                    Ok(Event::Bookmark { revision, initial_done }) => format!("={revision} {initial_done}"),
                    Ok(other) => panic!("{other:?}"),
                    Err(status) => format!("!{} {status}", status.code()),
                });
            }
        }
        assert_eq!(seen, ["+nodes//a@3", "=8 true", "!410 too old"], "chunks of {size}");
    }
}
