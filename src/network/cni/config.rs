//! What the container runtime tells the plugin, and what it is told back (CNI specification 1.0.0).

use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// The newest specification version spoken; older ones that the runtime asks for are answered in kind.
pub const CNI_VERSION: &str = "1.0.0";
pub const SUPPORTED_VERSIONS: &[&str] = &["0.3.0", "0.3.1", "0.4.0", "1.0.0"];

/// The plugin's own part of the network configuration, written by [`super::install`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub bridge: String,
    /// This node's pods.
    pub subnet: Ipv4Net,
    /// Where addresses in use are remembered.
    pub state_dir: PathBuf,
    pub mtu: u32,
}

impl Network {
    /// The bridge's own address, which is the pods' gateway: the first of the subnet.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet.network()) + 1)
    }
}

/// The configuration on standard input. `loopback` has none of the bridge's fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub cni_version: String,
    #[serde(rename = "type")]
    pub plugin: String,
    #[serde(flatten)]
    pub network: Option<Network>,
}

/// The environment that the runtime calls a plugin with.
#[derive(Debug, Clone, PartialEq)]
pub struct Env {
    pub command: String,
    pub container_id: String,
    pub netns: PathBuf,
    pub ifname: String,
}

/// The longest interface name that Linux takes (`IFNAMSIZ` less the end mark).
const IFNAME_LEN_MAX: usize = 15;

impl Env {
    /// Reads `CNI_*`; `netns` may be empty only for a DEL of a namespace that is gone already.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let get = |name: &str| var(name).unwrap_or_default();
        let env = Self {
            command: get("CNI_COMMAND"),
            container_id: get("CNI_CONTAINERID"),
            netns: get("CNI_NETNS").into(),
            ifname: get("CNI_IFNAME"),
        };
        if matches!(env.command.as_str(), "ADD" | "DEL" | "CHECK") {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if env.container_id.is_empty() || !env.container_id.chars().all(plain) {
                return Err(Failure::bad_env("CNI_CONTAINERID must be letters, digits, '_', '.' and '-'"));
            }
            if env.ifname.is_empty() || env.ifname.len() > IFNAME_LEN_MAX || env.ifname.contains(['/', ':', ' ']) {
                return Err(Failure::bad_env("CNI_IFNAME must be an interface name of at most 15 bytes"));
            }
            if env.command != "DEL" && env.netns.as_os_str().is_empty() {
                return Err(Failure::bad_env("CNI_NETNS is missing"));
            }
        }
        Ok(env)
    }
}

/// A failed call, in the specification's form.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub cni_version: &'static str,
    pub code: u32,
    pub msg: String,
}

impl Failure {
    fn with(code: u32, msg: impl Into<String>) -> Self {
        Self { cni_version: CNI_VERSION, code, msg: msg.into() }
    }

    pub fn bad_env(msg: &str) -> Self {
        Self::with(4, msg)
    }

    pub fn bad_config(msg: impl Into<String>) -> Self {
        Self::with(7, msg)
    }

    /// Something of this machine failed; the runtime may try again.
    pub fn io(msg: impl Into<String>) -> Self {
        Self::with(5, msg)
    }

    pub fn bad_version(asked: &str) -> Self {
        Self::with(1, format!("CNI version {asked:?} is not one of {SUPPORTED_VERSIONS:?}"))
    }
}

/// The network list that containerd reads from its CNI directory, named after the bridge: libcni keeps
/// files by network, and several skiffs on a machine must not take each other's away.
pub fn conflist(network: &Network) -> serde_json::Value {
    let mut plugin = serde_json::to_value(network).unwrap_or_default();
    plugin["type"] = super::PLUGIN.into();
    serde_json::json!({ "cniVersion": CNI_VERSION, "name": network.bridge, "plugins": [plugin] })
}

/// The answer to ADD: one interface in the pod, its address and its way out.
pub fn added(version: &str, env: &Env, address: Ipv4Addr, network: &Network, host_link: &str) -> serde_json::Value {
    serde_json::json!({
        "cniVersion": version,
        "interfaces": [
            { "name": host_link },
            { "name": env.ifname, "sandbox": env.netns },
        ],
        "ips": [{
            "address": format!("{address}/{}", network.subnet.prefix_len()),
            "gateway": network.gateway(),
            "interface": 1,
        }],
        "routes": [{ "dst": "0.0.0.0/0", "gw": network.gateway() }],
        "dns": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network {
            bridge: "skiff0".into(),
            subnet: "10.42.3.0/24".parse().unwrap(),
            state_dir: "/var/lib/skiff/agent/cni".into(),
            mtu: 1500,
        }
    }

    #[test]
    fn the_written_configuration_reads_back() {
        let mut plugin = conflist(&network())["plugins"][0].clone();
        plugin["cniVersion"] = "1.0.0".into();
        let request: Request = serde_json::from_value(plugin).unwrap();
        assert_eq!(request.network, Some(network()));
        assert_eq!(network().gateway().to_string(), "10.42.3.1");
    }

    #[test]
    fn a_container_id_cannot_leave_the_state_directory() {
        let env = |id: &'static str| {
            Env::read(move |name| match name {
                "CNI_COMMAND" => Some("DEL".into()),
                "CNI_CONTAINERID" => Some(id.into()),
                "CNI_IFNAME" => Some("eth0".into()),
                _ => None,
            })
        };
        assert!(env("abc123").is_ok());
        assert_eq!(env("../../etc/passwd").unwrap_err().code, 4);
    }
}
