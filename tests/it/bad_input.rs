//! Requests that make no sense, and clients without rights: each gets a clear answer in Kubernetes' own words.

use http::Request;
use kube::Error;
use serde_json::json;

use crate::server::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";

/// The code and the message that a request is answered with.
async fn answer(client: &kube::Client, method: &str, path: &str, kind: &str, body: Vec<u8>) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
    match client.request_text(request).await {
        Ok(text) => (200, text),
        Err(Error::Api(status)) => (status.code, status.message),
        Err(other) => panic!("{method} {path}: {other}"),
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_and_change_nothing() {
    let server = Server::start().await;
    let client = server.admin().await;
    let named = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).to_string();
    let strict = "/api/v1/namespaces/default/configmaps?fieldValidation=Strict";
    let unknown = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dota": {}}).to_string();
    let typed =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": 1}}).to_string();
    let other = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}).to_string();
    let long = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "a".repeat(1_600_000)}});
    let refused: &[(&str, &str, &str, String, u16, &str)] = &[
        ("POST", MAPS, JSON, "{\"kind\":".into(), 400, "unexpected end of JSON input"),
        ("POST", MAPS, "application/yaml", "kind: [".into(), 400, "yaml"),
        ("POST", MAPS, "text/plain", named("x"), 415, "the body of the request was in an unknown format"),
        ("POST", MAPS, JSON, other, 400, "cannot be handled as a ConfigMap"),
        ("POST", MAPS, JSON, typed, 400, "cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        ("POST", strict, JSON, unknown, 400, "unknown field \"dota\""),
        ("POST", MAPS, JSON, named("Not_Valid"), 422, "a lowercase RFC 1123 subdomain must consist of"),
        ("POST", MAPS, JSON, long.to_string(), 422, "Too long: may not be more than 1048576 bytes"),
        ("POST", MAPS, JSON, "a".repeat(4_000_000), 413, "Request entity too large: limit is 3145728"),
        (
            "GET",
            "/api/v1/namespaces/default/configmaps?labelSelector=a%3Db%3Dc",
            JSON,
            String::new(),
            400,
            "found '=', expected: ',' or 'end of string'",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/pods?fieldSelector=spec.color%3Dred",
            JSON,
            String::new(),
            400,
            "field label not supported: spec.color",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/nothings",
            JSON,
            String::new(),
            404,
            "the server could not find the requested resource",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/configmaps/nobody",
            JSON,
            String::new(),
            404,
            "configmaps \"nobody\" not found",
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps/a",
            JSON,
            named("b"),
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        ("PATCH", "/api/v1/namespaces/default/configmaps/a", JSON, "{}".into(), 415, "415: Unsupported Media Type"),
        ("POST", "/api/v1/namespaces/nowhere/configmaps", JSON, named("x"), 404, "namespaces \"nowhere\" not found"),
    ];
    let mut wrong = Vec::new();
    for (method, path, kind, body, code, words) in refused {
        let (got, message) = answer(&client, method, path, kind, body.clone().into_bytes()).await;
        if got != *code || !message.contains(words) {
            wrong.push(format!("{method} {path}: want {code} {words:?}, got {got} {message:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (_, left) = answer(&client, "GET", "/api/v1/namespaces/default/configmaps/x", JSON, Vec::new()).await;
    assert_eq!(left, "configmaps \"x\" not found");
}

#[tokio::test]
async fn strangers_see_whether_the_server_is_well_and_nothing_else() {
    let server = Server::start().await;
    let nobody = server.client(|config| config.auth_info = Default::default()).await;
    assert_eq!(answer(&nobody, "GET", "/livez", JSON, Vec::new()).await, (200, "ok".to_owned()));
    let (code, message) = answer(&nobody, "GET", MAPS, JSON, Vec::new()).await;
    assert!(code == 403 || code == 401, "{code} {message}");
    let forger = server
        .client(|config| {
            config.auth_info = Default::default();
            config.auth_info.token = Some("eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06YWRtaW4ifQ.".to_owned().into());
        })
        .await;
    assert_eq!(answer(&forger, "GET", MAPS, JSON, Vec::new()).await, (401, "Unauthorized".to_owned()));
}
