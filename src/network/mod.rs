//! The node's network: how pods get links and addresses, find each other by name, and reach out.

pub mod cni;
pub mod dns;
pub mod host;
pub mod netlink;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::Ipv4Net;

use self::cni::config::Network;
use self::dns::server::Server;
use self::dns::zone::Zone;
use crate::base::service::Scope;
use crate::client::cache::Cache;

/// What the node's network is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's pods, from `spec.podCIDR`.
    pub pod_cidr: Ipv4Net,
    pub cluster_cidr: Ipv4Net,
    pub service_cidr: Ipv4Net,
    pub cluster_dns: Ipv4Addr,
    pub cluster_domain: String,
    pub bridge: String,
    /// Where the plugin remembers addresses.
    pub state_dir: PathBuf,
    /// Where containerd looks for network configurations and for plugins.
    pub cni_conf_dir: PathBuf,
    pub cni_bin_dir: PathBuf,
    /// This program, which is also the plugin.
    pub binary: PathBuf,
}

/// Why the node's network is not ready.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    #[error("cannot set up the pod bridge {bridge}")]
    Bridge { bridge: String, source: netlink::NetlinkError },
    #[error("cannot write the CNI configuration into {}", dir.display())]
    Cni { dir: PathBuf, source: std::io::Error },
}

/// Makes the bridge, makes containerd find the plugin, and starts the DNS server. Safe to repeat.
pub async fn start(scope: &Scope, cache: Arc<Cache>, config: Config) -> Result<(), SetUpError> {
    let mtu = netlink::default_mtu().await;
    let network = Network { bridge: config.bridge.clone(), subnet: config.pod_cidr, state_dir: config.state_dir, mtu };
    let failed = |source| SetUpError::Bridge { bridge: config.bridge.clone(), source };
    host::set_up(&network, config.cluster_dns, config.service_cidr).await.map_err(failed)?;
    let installed = cni::install::install(&config.binary, &config.cni_bin_dir, &config.cni_conf_dir, &network);
    installed.map_err(|source| SetUpError::Cni { dir: config.cni_conf_dir.clone(), source })?;
    let zone = Zone {
        domain: config.cluster_domain.to_lowercase(),
        own_addresses: vec![config.cluster_cidr, config.service_cidr],
    };
    Server::new(zone, move || cache.snapshot()).start(scope, config.cluster_dns);
    Ok(())
}
