//! `skiff wait`: returns when a node of the cluster is Ready. The installer ends with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::admin::{self, Admin};
use crate::client::Client;
use crate::object::kind::NODE;
use crate::object::view::Node;
use crate::object::{Options, User};

const ASK_EVERY: Duration = Duration::from_millis(250);

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
    let Admin { remote } = admin::open(kubeconfig).await?;
    let client = Client::new(Arc::new(remote), User::named(admin::USER, &[]), "skiff-wait");
    let nodes = client.list(&NODE, "", Options::default()).await?;
    Ok(nodes.items.iter().filter(|node| node.view::<Node>().is_ready()).count())
}
