//! What the kubelet is told at start. Everything here is final: `cmd` has checked it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::security::current::Current;

/// The data directory of a server that was told nothing else.
const DEFAULT_DATA_DIR: &str = "/var/lib/skiff";

#[derive(Clone, Debug)]
pub struct Config {
    pub node_name: String,
    /// The node's own addresses, the main one first.
    pub node_ips: Vec<IpAddr>,
    /// From `--node-label`.
    pub labels: Vec<(String, String)>,
    /// From `--node-taint`, as `key=value:Effect`.
    pub taints: Vec<Taint>,
    /// Whether this node also runs the control plane.
    pub control_plane: bool,
    pub data_dir: PathBuf,
    pub cluster_dns: Vec<IpAddr>,
    pub cluster_domain: String,
    /// The socket of a runtime that runs already; without one, containerd is started.
    pub runtime_endpoint: Option<PathBuf>,
    /// An image to use instead of the built-in pause image.
    pub pause_image: Option<String>,
    /// Where the kubelet's own HTTPS server listens.
    pub listen: SocketAddr,
    pub tls: ServingTls,
    pub pods_max: u32,
    /// What `kubeletVersion` of the node says.
    pub version: String,
    /// The nameservers and search domains of the host.
    pub host_resolv_conf: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

/// The certificates the kubelet shows, and whose client certificates it accepts.
#[derive(Clone)]
pub struct ServingTls {
    pub serving: Arc<Current>,
    /// What it shows to the API, if that is elsewhere.
    pub client: Option<Arc<Current>>,
    pub client_ca_pem: String,
}

impl std::fmt::Debug for ServingTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServingTls")
    }
}

/// Where things lie. Derived from the data directory alone, so that two servers can share a machine.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The kubelet's own directory, `pods/<uid>/…` inside.
    pub kubelet: PathBuf,
    pub containerd: PathBuf,
    /// Sockets, pid files and whatever need not survive a reboot.
    pub run: PathBuf,
    pub cni_conf: PathBuf,
    pub cni_bin: PathBuf,
    pub pod_logs: PathBuf,
    pub container_logs: PathBuf,
    /// The image registries' mirrors and certificates.
    pub registries: PathBuf,
    pub seccomp: PathBuf,
    /// The control group that holds all pods.
    pub cgroup: String,
}

impl Paths {
    pub fn of(data_dir: &Path) -> Self {
        let agent = data_dir.join("agent");
        let is_default = data_dir == Path::new(DEFAULT_DATA_DIR);
        let suffix = if is_default {
            String::new()
        } else {
            let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
            format!("-{}", digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        let logs = if is_default { PathBuf::from("/var/log") } else { agent.join("log") };
        Self {
            kubelet: agent.join("kubelet"),
            containerd: agent.join("containerd"),
            cni_conf: agent.join("etc/cni/net.d"),
            cni_bin: agent.join("bin"),
            pod_logs: logs.join("pods"),
            container_logs: logs.join("containers"),
            registries: agent.join("etc/containerd/certs.d"),
            seccomp: agent.join("kubelet/seccomp"),
            run: PathBuf::from(format!("/run/skiff{suffix}")),
            cgroup: format!("kubepods{suffix}"),
        }
    }

    /// Everything of one pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.kubelet.join("pods").join(uid)
    }

    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(plugin).join(name)
    }

    pub fn pod_log_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.pod_logs.join(format!("{namespace}_{name}_{uid}"))
    }

    pub fn containerd_socket(&self) -> PathBuf {
        self.run.join("containerd/containerd.sock")
    }
}

impl Config {
    pub fn paths(&self) -> Paths {
        Paths::of(&self.data_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_data_dirs_share_nothing() {
        let usual = Paths::of(Path::new("/var/lib/skiff"));
        let other = Paths::of(Path::new("/srv/two"));
        assert_eq!(usual.containerd_socket(), Path::new("/run/skiff/containerd/containerd.sock"));
        assert_ne!(usual.run, other.run);
        assert!(other.pod_logs.starts_with("/srv/two"));
    }
}
