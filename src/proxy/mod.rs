//! Services on this node: what kube-proxy does, with nftables verdict maps.
//!
//! [`model`] says which services there are and who serves them ([`build`] finds out), [`ruleset`]
//! turns that into chains and map elements, [`apply`] brings the kernel from the last ruleset to the
//! next in one transaction. Established connections live in conntrack and survive all of it; UDP flows to
//! former endpoints are dropped from there ([`conntrack`]). [`health`] answers load balancers outside.

pub mod apply;
mod build;
mod conntrack;
mod health;
pub mod model;
pub mod ruleset;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use self::apply::Table;
use self::ruleset::Node;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::client::cache::Cache;
use crate::object::kind;

/// Changes that come within this time go into one transaction.
const GATHER: Duration = Duration::from_millis(20);
/// How long after a failure the whole ruleset is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How often the kernel is asked whether our table is still there.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Keeps the kernel's service rules as the cache says, until the scope stops. The rules stay when
/// it does: services must outlive an upgrade of this process.
///
/// `own` are service addresses that this process answers itself.
pub fn start(scope: &Scope, cache: Arc<Cache>, node: Node, node_name: String, own: Vec<Ipv4Addr>) {
    scope.spawn("proxy", {
        let stopping = scope.clone();
        async move {
            tokio::select! {
                () = run(&stopping, &cache, node, &node_name, &own) => (),
                () = stopping.stopping() => (),
            }
        }
    });
}

async fn run(scope: &Scope, cache: &Arc<Cache>, node: Node, node_name: &str, own: &[Ipv4Addr]) {
    let mut changes = cache.subscribe(&[&kind::SERVICE, &kind::ENDPOINT_SLICE, &kind::POD]);
    cache.synced().await;
    let mut table = Table::new(node);
    let mut next_check = Instant::now() + CHECK_EVERY;
    let mut last_served = None;
    let mut health = health::Servers::new(scope);
    loop {
        let model = build::model(&cache.snapshot(), node_name, own);
        let served = conntrack::served(&model);
        health.follow(&model);
        let applied = table.apply(ruleset::ruleset(&model)).await;
        if let Err(error) = &applied {
            tracing::error!(error = %Chain(error), retry_secs = RETRY.as_secs(), "services may not be reachable on this node");
        }
        if applied.is_ok() && last_served.as_ref() != Some(&served) {
            last_served = Some(served.clone());
            match conntrack::clean(served).await {
                Ok(0) => (),
                Ok(count) => tracing::debug!(count, "dropped UDP flows to former endpoints"),
                Err(error) => tracing::warn!(%error, "cannot drop UDP flows to former endpoints"),
            }
        }
        let patience = if applied.is_ok() { next_check.saturating_duration_since(Instant::now()) } else { RETRY };
        if timeout(patience, changes.next()).await.is_ok() {
            sleep(GATHER).await;
            changes.take();
        }
        if Instant::now() >= next_check {
            table.check().await;
            next_check = Instant::now() + CHECK_EVERY;
        }
    }
}
