//! A real server that asks a webhook of the test's what is allowed, as a file says, and follows the file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Error;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::loopback::{Loopback, serve};
use crate::server::Server;

/// The server looks at its file every fifteen seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Allows `ann`, denies `bob` and knows nothing of anybody else; remembers about whom it was asked.
async fn webhook(folder: &Path) -> Arc<Mutex<BTreeSet<String>>> {
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = asked.clone();
    let (Loopback { url, authority }, working) = serve(move |_, body| {
        let mut review: Value = serde_json::from_slice(body).unwrap();
        seen.lock().unwrap().insert(review["spec"]["user"].as_str().unwrap_or_default().to_owned());
        review["status"] = match review["spec"]["user"].as_str() {
            Some("ann") => json!({"allowed": true, "reason": "ann may"}),
            Some("bob") => json!({"allowed": false, "denied": true, "reason": "bob may not"}),
            _ => json!({"allowed": false}),
        };
        (200, review.to_string())
    })
    .await;
    tokio::spawn(working);
    std::fs::write(folder.join("ca.pem"), authority).unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "w",
        "clusters": [{"name": "w", "cluster": {"server": url, "certificate-authority": folder.join("ca.pem")}}],
        "users": [{"name": "w", "user": {}}],
        "contexts": [{"name": "w", "context": {"cluster": "w", "user": "w"}}],
    });
    std::fs::write(folder.join("webhook.yaml"), kubeconfig.to_string()).unwrap();
    asked
}

/// The configuration: the webhook for requests of which `condition` holds, then roles.
fn configure(folder: &Path, condition: &str) -> String {
    let path = folder.join("authorization.yaml");
    let webhook = json!({
        "timeout": "3s", "subjectAccessReviewVersion": "v1", "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "NoOpinion", "authorizedTTL": "1s", "unauthorizedTTL": "1s",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": folder.join("webhook.yaml")},
        "matchConditions": [{"expression": condition}],
    });
    let config = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
        "authorizers": [
            {"type": "Webhook", "name": "w", "webhook": webhook},
            {"type": "Node", "name": "node"},
            {"type": "RBAC", "name": "rbac"},
        ],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

/// How listing ConfigMaps ends for a user: nothing, or why not.
async fn lists(server: &Server, user: &str) -> Result<(), String> {
    let client = server.client(|config| config.auth_info.impersonate = Some(user.to_owned())).await;
    match Api::<ConfigMap>::namespaced(client, "default").list(&ListParams::default()).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) if status.code == 403 => Err(status.message),
        Err(other) => panic!("{user}: {other}"),
    }
}

#[tokio::test]
async fn a_webhook_decides_as_the_file_says_and_the_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let asked = webhook(folder.path()).await;
    let config = configure(folder.path(), "request.user != 'carl'");
    let server = Server::start_with(&["--authorization-config", &config]).await;

    lists(&server, "ann").await.unwrap();
    assert!(lists(&server, "bob").await.unwrap_err().ends_with(": bob may not"));
    let told = lists(&server, "carl").await.unwrap_err();
    assert!(told.starts_with("configmaps is forbidden: User \"carl\" cannot list resource"), "{told}");
    let seen = asked.lock().unwrap().clone();
    assert!(seen.contains("ann") && seen.contains("bob"), "{seen:?}");
    assert!(!seen.contains("carl"), "the condition keeps carl from the webhook");

    // What is broken is not followed, and what is sound is.
    std::fs::write(&config, "kind: Nonsense").unwrap();
    let reloaded = async |result: &str| {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let page = server.admin().await.request_text(request).await.unwrap();
        let family = "apiserver_authorization_config_controller_automatic_reloads_total";
        page.lines().any(|line| line.starts_with(family) && line.contains(&format!("status=\"{result}\"")))
    };
    let waited = async |result: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !reloaded(result).await {
            assert!(Instant::now() < deadline, "no {result} in time");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    waited("failure").await;
    lists(&server, "ann").await.unwrap();
    configure(folder.path(), "request.user == 'bob'");
    waited("success").await;
    assert!(lists(&server, "ann").await.is_err(), "nobody asks the webhook about ann any more");
    assert!(lists(&server, "bob").await.unwrap_err().ends_with(": bob may not"));
}

#[tokio::test]
async fn policies_in_a_file_allow_what_roles_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.jsonl");
    let spec = json!({"user": "ann", "namespace": "default", "resource": "configmaps", "readonly": true});
    let policy = json!({"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": spec});
    std::fs::write(&file, format!("# who may what\n{policy}\n")).unwrap();
    let file = file.display().to_string();
    let server =
        Server::start_with(&["--authorization-mode=Node,RBAC,ABAC", "--authorization-policy-file", &file]).await;
    lists(&server, "ann").await.unwrap();
    assert!(lists(&server, "bob").await.unwrap_err().ends_with(": No policy matched."));
}
