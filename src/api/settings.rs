//! What the API server is told at start.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Where cluster addresses of services come from; one or two networks, of different families.
    pub service_cidrs: Vec<IpNet>,
    pub node_ports: RangeInclusive<u16>,
    /// Where clients reach this server.
    pub advertise_address: IpAddr,
    pub port: u16,
    /// Who signs service-account tokens, as their `iss` says.
    pub issuer: String,
    pub limits: Limits,
}

/// How much is worked on at once, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Both together are the seats that priority levels share.
    pub reads_max: u32,
    pub writes_max: u32,
    /// How long a request that is not meant to last may take, if it does not say itself.
    pub request: Duration,
    /// How long a watch lasts at least, if it does not say itself.
    pub watch_min: Duration,
    /// How long the server goes on as if nothing were, but not ready, before it stops.
    pub shutdown_delay: Duration,
    /// How long events are kept after they last happened.
    pub event_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reads_max: 400,
            writes_max: 200,
            request: Duration::from_secs(60),
            watch_min: Duration::from_secs(1_800),
            shutdown_delay: Duration::ZERO,
            event_ttl: Duration::from_secs(3_600),
        }
    }
}

impl Settings {
    /// `host:port`, as discovery tells it.
    pub fn server_address(&self) -> String {
        std::net::SocketAddr::new(self.advertise_address, self.port).to_string()
    }
}
