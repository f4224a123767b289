//! `skiff wait`: returns when a node of the cluster is Ready. The installer ends with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::client::remote::{Endpoint, Remote};
use crate::object::kind::NODE;
use crate::object::tree::Tree;
use crate::object::view::Node;
use crate::object::{Options, User};
use crate::security::{Identity, tls};

const ASK_EVERY: Duration = Duration::from_millis(250);
const USER: &str = "system:admin";

/// Waits until some node is Ready, at most `limit`. The kubeconfig may still have to be written.
pub async fn run(kubeconfig: &Path, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match ready_nodes(kubeconfig).await {
            Ok(0) => "no node is Ready".to_owned(),
            Ok(_) => return Ok(()),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            bail!("after {} s: {last}", limit.as_secs());
        }
        sleep(ASK_EVERY).await;
    }
}

async fn ready_nodes(kubeconfig: &Path) -> Result<usize> {
    let text = tokio::fs::read_to_string(kubeconfig).await;
    let text = text.with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let client = client(&serde_yaml::from_str(&text).context("the kubeconfig is not YAML")?)?;
    let nodes = client.list(&NODE, "", Options::default()).await?;
    Ok(nodes.items.iter().filter(|node| node.view::<Node>().is_ready()).count())
}

/// A client as the first cluster and the first user of a kubeconfig say.
fn client(config: &Tree) -> Result<Client> {
    let at = |path: &str| {
        config.pointer(path).and_then(Tree::as_str).with_context(|| format!("the kubeconfig lacks {path}"))
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
    let remote = Remote::new(endpoint, [(USER.to_owned(), tls)]);
    Ok(Client::new(Arc::new(remote), User::named(USER, &[]), "skiff-wait"))
}
