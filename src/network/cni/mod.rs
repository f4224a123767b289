//! The CNI plugin: what containerd runs to connect a pod, which is this same binary under another name.
//!
//! A call is a short process of its own. It reads its configuration from standard input, what to do
//! from the environment, makes one link pair and one address, and prints the result. It must never
//! depend on the server: pods start and stop while that is being upgraded.

pub mod config;
pub mod install;
mod ipam;

use std::io::Read;
use std::process::ExitCode;

use ipnet::Ipv4Net;

use self::config::{Env, Failure, Network, Request};
use self::ipam::Ipam;
use super::netlink::{self, Links};
use crate::base::error::Chain;

/// The name under which the binary is this plugin.
pub const PLUGIN: &str = "skiff-cni";
/// containerd brings up `lo` through a plugin of this name.
const LOOPBACK: &str = "loopback";
/// More than any configuration; what a runtime sends beyond it is not read.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Runs the plugin if the program was started as one, by its name in `argv[0]`.
pub fn run_if_named(argv0: &str) -> Option<ExitCode> {
    let name = argv0.rsplit('/').next().unwrap_or_default();
    [PLUGIN, LOOPBACK].contains(&name).then(run)
}

fn run() -> ExitCode {
    let (answer, code) = match answer() {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(failure) => (serde_json::to_value(failure).unwrap_or_default(), ExitCode::FAILURE),
    };
    if !answer.is_null() {
        println!("{answer}");
    }
    code
}

fn answer() -> Result<serde_json::Value, Failure> {
    let env = Env::read(|name| std::env::var(name).ok())?;
    if env.command == "VERSION" {
        return Ok(serde_json::json!({
            "cniVersion": config::CNI_VERSION, "supportedVersions": config::SUPPORTED_VERSIONS,
        }));
    }
    let mut input = Vec::new();
    let read = std::io::stdin().take(CONFIG_BYTES_MAX).read_to_end(&mut input);
    read.map_err(|error| Failure::io(format!("cannot read the configuration: {error}")))?;
    let request: Request =
        serde_json::from_slice(&input).map_err(|error| Failure::bad_config(format!("bad configuration: {error}")))?;
    if !config::SUPPORTED_VERSIONS.contains(&request.cni_version.as_str()) {
        return Err(Failure::bad_version(&request.cni_version));
    }
    if request.plugin == LOOPBACK {
        return loopback(&request, &env);
    }
    let network =
        request.network.as_ref().ok_or_else(|| Failure::bad_config("bridge, subnet, stateDir or mtu is missing"))?;
    match env.command.as_str() {
        "ADD" => add(&request.cni_version, &env, network),
        "DEL" => delete(&env, network),
        "CHECK" => check(&env, network),
        other => Err(Failure::bad_env(&format!("CNI_COMMAND {other:?} is not ADD, DEL, CHECK or VERSION"))),
    }
}

fn loopback(request: &Request, env: &Env) -> Result<serde_json::Value, Failure> {
    if env.command != "ADD" {
        return Ok(serde_json::Value::Null);
    }
    let up = |links: Links| async move {
        let index = links.index("lo").await?;
        links.up(index.unwrap_or(1), "lo").await
    };
    netlink::in_namespace(&env.netns, up).map_err(io)?;
    Ok(serde_json::json!({
        "cniVersion": request.cni_version,
        "interfaces": [{ "name": "lo", "sandbox": env.netns }],
        "ips": [{ "address": "127.0.0.1/8", "interface": 0 }],
    }))
}

fn add(version: &str, env: &Env, network: &Network) -> Result<serde_json::Value, Failure> {
    let ipam = Ipam::open(&network.state_dir, network.subnet).map_err(io)?;
    let owner = owner(env);
    let address = ipam.allocate(&owner).map_err(io)?;
    drop(ipam);
    // What a failed ADD leaves behind, its DEL removes; the runtime is bound to send one.
    connect(env, network, address).map_err(io)?;
    Ok(config::added(version, env, address, network, &host_link(env)))
}

fn connect(env: &Env, network: &Network, address: std::net::Ipv4Addr) -> Result<(), netlink::NetlinkError> {
    let (host, peer) = (host_link(env), peer_link(env));
    here(|links| async move {
        let bridge = ensure_bridge(&links, network).await?;
        links.attach_pair(&host, &peer, &env.netns, bridge, network.mtu).await
    })?;
    let address = Ipv4Net::new_assert(address, network.subnet.prefix_len());
    let peer = peer_link(env);
    netlink::in_namespace(&env.netns, |links| async move {
        links.configure(&peer, &env.ifname, address, network.gateway()).await
    })
}

/// The bridge that all pods of the node hang on, with the gateway's address.
pub async fn ensure_bridge(links: &Links, network: &Network) -> Result<u32, netlink::NetlinkError> {
    let bridge = links.ensure_bridge(&network.bridge, network.mtu).await?;
    links.add_address(bridge, Ipv4Net::new_assert(network.gateway(), network.subnet.prefix_len())).await?;
    Ok(bridge)
}

fn delete(env: &Env, network: &Network) -> Result<serde_json::Value, Failure> {
    let link = host_link(env);
    here(|links| async move { links.remove(&link).await }).map_err(io)?;
    let ipam = Ipam::open(&network.state_dir, network.subnet).map_err(io)?;
    ipam.release(&owner(env)).map_err(io)?;
    Ok(serde_json::Value::Null)
}

fn check(env: &Env, _network: &Network) -> Result<serde_json::Value, Failure> {
    let name = env.ifname.clone();
    let found = netlink::in_namespace(&env.netns, |links| async move { links.index(&name).await }).map_err(io)?;
    found.map(|_| serde_json::Value::Null).ok_or_else(|| Failure::io(format!("the pod has no link {}", env.ifname)))
}

/// Runs `work` with the links of the namespace that the plugin was started in.
fn here<T, F: Future<Output = Result<T, netlink::NetlinkError>>>(
    work: impl FnOnce(Links) -> F,
) -> Result<T, netlink::NetlinkError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(netlink::NetlinkError::Open)?;
    runtime.block_on(netlink::with_netlink(work))
}

fn owner(env: &Env) -> String {
    format!("{} {}", env.container_id, env.ifname)
}

/// Names of the two ends, the same for each call about one container.
fn host_link(env: &Env) -> String {
    format!("veth{}", tag(env))
}

fn peer_link(env: &Env) -> String {
    format!("peer{}", tag(env))
}

fn tag(env: &Env) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(owner(env));
    digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

fn io(error: impl std::error::Error + 'static) -> Failure {
    Failure::io(Chain(&error).to_string())
}
