//! The administrator's client of a real server, made from the kubeconfig that the server writes.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use skiff::client::remote::{Endpoint, Remote, read};
use skiff::object::Tree;
use skiff::security::{Identity, tls};

pub const ADMIN: &str = "system:admin";
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A client of the server at `host` and `port`, with connections of its own; none while there is no kubeconfig.
pub fn remote(kubeconfig: &Path, host: &str, port: u16) -> Option<Remote> {
    let text = std::fs::read_to_string(kubeconfig).ok()?;
    let config: serde_json::Value = serde_yaml::from_str(&text).ok()?;
    let pem = |path: &str| {
        let text = config.pointer(path)?.as_str()?;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
    };
    let certificate = pem("/users/0/user/client-certificate-data")?;
    let identity = Identity { certificate, key: pem("/users/0/user/client-key-data")? };
    let tls = tls::client_config(&pem("/clusters/0/cluster/certificate-authority-data")?, Some(&identity)).ok()?;
    Some(Remote::new(Endpoint { host: host.to_owned(), port }, [(ADMIN.to_owned(), tls)]))
}

/// What the server says at `path`, if it says anything soon.
pub async fn get(remote: Option<Remote>, path: &str) -> Option<(u16, Tree)> {
    let asking = async {
        let request = http::Request::builder().uri(path).body(Default::default()).ok()?;
        let response = remote?.send(ADMIN, request).await.ok()?;
        let code = response.status().as_u16();
        Some((code, serde_json::from_slice(&read(response.into_body()).await.ok()?).unwrap_or_default()))
    };
    tokio::time::timeout(ANSWER_MAX, asking).await.ok().flatten()
}
