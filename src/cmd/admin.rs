//! A client for the administrator, from the kubeconfig that a server wrote.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use serde_json::Value;

use crate::client::remote::{Endpoint, Remote, read};
use crate::object::Status;
use crate::security::{Identity, tls};

/// Who the client is.
pub const USER: &str = "system:admin";

pub struct Admin {
    pub remote: Remote,
}

/// A client as the first cluster and the first user of the kubeconfig say.
pub async fn open(kubeconfig: &Path) -> Result<Admin> {
    let text = tokio::fs::read_to_string(kubeconfig).await;
    let text = text.with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let config: Value = serde_yaml::from_str(&text).context("the kubeconfig is not YAML")?;
    let at = |path: &str| {
        config.pointer(path).and_then(Value::as_str).with_context(|| format!("the kubeconfig lacks {path}"))
    };
    let pem = |path: &str| -> Result<String> { Ok(String::from_utf8(BASE64.decode(at(path)?)?)?) };
    let server: http::Uri = at("/clusters/0/cluster/server")?.parse()?;
    let endpoint = Endpoint {
        host: server.host().context("the kubeconfig's server has no host")?.trim_matches(['[', ']']).to_owned(),
        port: server.port_u16().unwrap_or(443),
    };
    let identity = Identity {
        certificate: pem("/users/0/user/client-certificate-data")?,
        key: pem("/users/0/user/client-key-data")?,
    };
    let tls = tls::client_config(&pem("/clusters/0/cluster/certificate-authority-data")?, Some(&identity))?;
    Ok(Admin { remote: Remote::new(endpoint, [(USER.to_owned(), tls)]) })
}

/// What the server answers; anything but success is an error.
pub async fn send(kubeconfig: &Path, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
    let Admin { remote } = open(kubeconfig).await?;
    let request = http::Request::builder().method(method).uri(path).body(Full::new(body))?;
    let response = remote.send(USER, request).await.map_err(|status| anyhow::anyhow!("{}", status.message))?;
    let code = response.status();
    let bytes = read(response.into_body()).await.map_err(|status| anyhow::anyhow!("{}", status.message))?;
    if !code.is_success() {
        bail!("{}", Status::from_wire(code.as_u16(), &bytes).message);
    }
    Ok(bytes)
}
