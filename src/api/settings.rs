//! What the API server is told at start.

use std::net::IpAddr;
use std::ops::RangeInclusive;

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
}

impl Settings {
    /// `host:port`, as discovery tells it.
    pub fn server_address(&self) -> String {
        std::net::SocketAddr::new(self.advertise_address, self.port).to_string()
    }
}
