//! The machine's part of the pod network: kernel settings, the bridge, and addresses of our own on it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;

use super::cni::{self, config::Network};
use super::netlink::{NetlinkError, with_netlink};

/// Makes the bridge, gives it the gateway's address and the DNS server's, and leads the service
/// range to it.
///
/// The route makes services reachable from the machine itself even where it has no default route:
/// the kernel looks for a route before nftables gets to see the packet.
pub async fn set_up(network: &Network, dns: Ipv4Addr, service_cidr: Ipv4Net) -> Result<(), NetlinkError> {
    allow_forwarding("all");
    with_netlink(|links| async move {
        let bridge = cni::ensure_bridge(&links, network).await?;
        links.add_address(bridge, Ipv4Net::new_assert(dns, 32)).await?;
        links.route_on_link(service_cidr, bridge, network.gateway()).await
    })
    .await?;
    for (setting, value) in [
        // Host ports on 127.0.0.1 lead through the bridge; the ruleset drops what comes in that way.
        (format!("net/ipv4/conf/{}/route_localnet", network.bridge), "1"),
        // Answers between pods on one bridge must pass the address translation that their questions did.
        ("net/bridge/bridge-nf-call-iptables".into(), "1"),
    ] {
        set_kernel(&setting, value);
    }
    Ok(())
}

fn allow_forwarding(link: &str) {
    set_kernel("net/ipv4/ip_forward", "1");
    set_kernel(&format!("net/ipv4/conf/{link}/forwarding"), "1");
}

/// Writes a kernel setting; one that cannot be set is reported, since what depends on it may still work.
fn set_kernel(setting: &str, value: &str) {
    let path = Path::new("/proc/sys").join(setting);
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return;
    }
    if let Err(error) = fs::write(&path, value) {
        tracing::warn!(path = %path.display(), value, %error, "cannot set a kernel parameter that pods' traffic may need; set it with sysctl");
    }
}
