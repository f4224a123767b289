//! A kubeconfig with everything inside: server, authority and identity.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Identity;

/// The file's text for `server`, a URL.
pub fn render(server: &str, authority_pem: &str, identity: &Identity) -> String {
    let (authority, certificate, key) =
        (BASE64.encode(authority_pem), BASE64.encode(&identity.certificate), BASE64.encode(&identity.key));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: default
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: default
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: default
  context:
    cluster: default
    user: default
current-context: default
"
    )
}
