//! The `kubernetes` service leads to every server: kept so by the one that leads the cluster.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::bootstrap::{self, Facts};
use super::cluster::Carrier;
use crate::base::service::Scope;
use crate::client::Client;
use crate::store::Store;

/// How often it is looked whether a server moved, in a cluster of several.
const LOOK_EVERY: Duration = Duration::from_secs(30);

pub struct Published {
    pub store: Store,
    pub carrier: Carrier,
    pub client: Client,
    pub facts: Facts,
}

impl Published {
    pub fn start(self, scope: &Scope) {
        let inner = scope.clone();
        scope.spawn("published servers", async move {
            tokio::select! {
                () = self.run() => (),
                () = inner.stopping() => (),
            }
        });
    }

    async fn run(self) {
        let (mut role, mut members) = (self.store.role(), self.store.members());
        loop {
            role.borrow_and_update();
            let is_alone = members.borrow_and_update().voters.len() < 2;
            if self.store.leads() {
                let facts = Facts { servers: self.servers(), ..self.facts.clone() };
                if let Err(error) = bootstrap::ensure_servers(&self.client, &facts).await {
                    tracing::warn!(error = %format!("{error:#}"), "cannot publish where the servers are");
                }
            }
            let look = async {
                match is_alone {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(LOOK_EVERY).await,
                }
            };
            let gone = tokio::select! {
                changed = role.changed() => changed.is_err(),
                changed = members.changed() => changed.is_err(),
                () = look => false,
            };
            if gone {
                return;
            }
        }
    }

    /// This server first; each address once.
    fn servers(&self) -> Vec<IpAddr> {
        let members = self.store.members().borrow().clone();
        let stored = self.carrier.book().all_stored();
        let others = stored
            .iter()
            .filter(|it| members.is_voter(it.number()) && !it.is_witness)
            .filter_map(|it| it.address.parse().ok());
        let mut servers = self.facts.servers.clone();
        let mut others: Vec<IpAddr> = others.map(|address: SocketAddr| address.ip()).collect();
        others.sort_unstable();
        others.dedup();
        servers.extend(others.into_iter().filter(|ip| !self.facts.servers.contains(ip)));
        servers
    }
}
