//! The node of this process: kubelet, pod network and service rules.
//!
//! The kubelet registers the node first; its network is set up when the cluster has given it a
//! range of pod addresses. Until then it says that it is not ready, and why.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv4Net};
use sha2::{Digest, Sha256};

use super::config::{self, NetworkConfig, NodeConfig};
use crate::base::clock::ClockRef;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::client::{Backend, Cache, Client};
use crate::kubelet::config::{Config, Paths, ServingTls, Taint};
use crate::object::User;
use crate::object::view::Node;
use crate::security::current::Current;
use crate::{kubelet, network, proxy, security};

const PODS_MAX: u32 = 110;
const NETWORK_RETRY: Duration = Duration::from_secs(2);

/// What a node is made of.
pub struct Setup {
    pub data_dir: PathBuf,
    pub node: NodeConfig,
    pub network: NetworkConfig,
    pub control_plane: bool,
    /// What the kubelet's server shows, and whose certificates it accepts.
    pub serving: Arc<Current>,
    /// What it shows to the API, if that is elsewhere.
    pub shown: Option<Arc<Current>>,
    pub client_ca: String,
    pub backend: Arc<dyn Backend>,
    pub cache: Arc<Cache>,
    pub clock: ClockRef,
}

impl Setup {
    /// Starts the node in `scope` and returns at once.
    pub fn start(self, scope: &Scope) -> Result<()> {
        let plan = NetworkPlan::of(&self)?;
        let user = User::named(
            &security::pki::node_client(&self.node.name).common_name,
            &["system:nodes", "system:authenticated"],
        );
        let client = Client::new(self.backend.clone(), user, "kubelet");
        kubelet::start(scope, self.kubelet(), client, self.cache.clone(), self.clock.clone());
        proxy::start(scope, self.cache.clone(), plan.proxy(), self.node.name.clone(), vec![plan.cluster_dns]);
        let (inner, cache, name) = (scope.clone(), self.cache.clone(), self.node.name.clone());
        scope.spawn("pod network", async move {
            tokio::select! {
                () = plan.set_up(&inner, cache, &name) => (),
                () = inner.stopping() => (),
            }
        });
        Ok(())
    }

    fn kubelet(&self) -> Config {
        let node = &self.node;
        Config {
            node_name: node.name.clone(),
            node_ips: node.ips.clone(),
            labels: node.labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect(),
            taints: node.taints.iter().map(taint).collect(),
            control_plane: self.control_plane,
            data_dir: self.data_dir.clone(),
            cluster_dns: self.network.cluster_dns.clone(),
            cluster_domain: self.network.cluster_domain.clone(),
            runtime_endpoint: node.runtime_endpoint.as_deref().map(socket_path),
            pause_image: node.pause_image.clone(),
            listen: SocketAddr::new(unspecified(node.ips[0]), node.kubelet_port),
            tls: ServingTls {
                serving: self.serving.clone(),
                client: self.shown.clone(),
                client_ca_pem: self.client_ca.clone(),
            },
            pods_max: PODS_MAX,
            version: crate::VERSION.into(),
            host_resolv_conf: resolv_conf(),
        }
    }
}

/// The addresses of the node's network, and the names it has in the kernel.
#[derive(Clone)]
struct NetworkPlan {
    cluster_cidr: Ipv4Net,
    service_cidr: Ipv4Net,
    cluster_dns: Ipv4Addr,
    cluster_domain: String,
    bridge: String,
    table: String,
    paths: Paths,
    state_dir: PathBuf,
}

impl NetworkPlan {
    fn of(setup: &Setup) -> Result<Self> {
        let network = &setup.network;
        let v4 = |nets: &[IpNet], flag: &str| {
            let found = nets.iter().find_map(|net| if let IpNet::V4(net) = net { Some(*net) } else { None });
            found.with_context(|| format!("{flag} has no IPv4 network, which pods on this node need"))
        };
        let dns = network.cluster_dns.iter().find_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None });
        let suffix = suffix(&setup.data_dir);
        Ok(Self {
            cluster_cidr: v4(&network.cluster_cidrs, "--cluster-cidr")?,
            service_cidr: v4(&network.service_cidrs, "--service-cidr")?,
            cluster_dns: dns.context("--cluster-dns has no IPv4 address, which pods on this node need")?,
            cluster_domain: network.cluster_domain.clone(),
            bridge: if suffix.is_empty() { "skiff0".into() } else { format!("skiff{suffix}") },
            table: if suffix.is_empty() { "skiff".into() } else { format!("skiff-{suffix}") },
            paths: Paths::of(&setup.data_dir),
            state_dir: setup.data_dir.join("agent/network"),
        })
    }

    fn proxy(&self) -> proxy::ruleset::Node {
        proxy::ruleset::Node {
            table: self.table.clone(),
            bridge: self.bridge.clone(),
            cluster_cidr: self.cluster_cidr,
            service_cidr: self.service_cidr,
        }
    }

    /// Waits for the node's pod addresses, then makes the network, however often it takes.
    async fn set_up(self, scope: &Scope, cache: Arc<Cache>, node: &str) {
        let pod_cidr = cache
            .until(|snap| {
                let node = snap.find::<Node>("", node)?;
                let mut cidrs = node.spec.pod_cidrs.iter().chain([&node.spec.pod_cidr]);
                cidrs.find_map(|cidr| cidr.parse::<Ipv4Net>().ok())
            })
            .await;
        loop {
            match network::start(scope, cache.clone(), self.config(pod_cidr)).await {
                Ok(()) => return tracing::info!(%pod_cidr, bridge = self.bridge, "pod network is up"),
                Err(error) => tracing::error!(error = %Chain(&error), "cannot set up the pod network; trying again"),
            }
            tokio::time::sleep(NETWORK_RETRY).await;
        }
    }

    fn config(&self, pod_cidr: Ipv4Net) -> network::Config {
        network::Config {
            pod_cidr,
            cluster_cidr: self.cluster_cidr,
            service_cidr: self.service_cidr,
            cluster_dns: self.cluster_dns,
            cluster_domain: self.cluster_domain.clone(),
            bridge: self.bridge.clone(),
            state_dir: self.state_dir.clone(),
            cni_conf_dir: self.paths.cni_conf.clone(),
            cni_bin_dir: self.paths.cni_bin.clone(),
            binary: std::env::current_exe().unwrap_or_else(|_| "/usr/local/bin/skiff".into()),
        }
    }
}

/// What keeps the kernel objects of a second server on this machine apart from the first one's.
fn suffix(data_dir: &Path) -> String {
    if data_dir == Path::new(config::DATA_DIR) {
        return String::new();
    }
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    security::hex(&digest[..4])
}

fn taint(taint: &config::values::NodeTaint) -> Taint {
    Taint { key: taint.key.clone(), value: taint.value.clone(), effect: taint.effect.clone() }
}

fn socket_path(endpoint: &str) -> PathBuf {
    endpoint.strip_prefix("unix://").unwrap_or(endpoint).into()
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() }
}

/// Where the host's real nameservers are: pods cannot reach a resolver on the host's loopback.
fn resolv_conf() -> PathBuf {
    const USUAL: &str = "/etc/resolv.conf";
    const BEHIND_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
    let text = std::fs::read_to_string(USUAL).unwrap_or_default();
    let stub = text.lines().any(|line| line.split_whitespace().eq(["nameserver", "127.0.0.53"]));
    if stub && Path::new(BEHIND_RESOLVED).exists() { BEHIND_RESOLVED.into() } else { USUAL.into() }
}
