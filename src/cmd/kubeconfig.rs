//! The administrator's kubeconfig, which a server writes.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::config::ServerConfig;
use crate::base::fs;
use crate::security::kubeconfig;
use crate::security::pki::Pki;

/// Where it lies, and where it leads.
#[derive(Clone)]
pub struct Kubeconfig {
    pub path: PathBuf,
    pub mode: u32,
    /// The server's URL.
    pub url: String,
}

impl Kubeconfig {
    pub fn of(config: &ServerConfig) -> Self {
        let host = match config.bind_address {
            any if any.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V6(address) => format!("[{address}]"),
            address => address.to_string(),
        };
        let url = format!("https://{host}:{}", config.port);
        Self { path: config.kubeconfig.clone(), mode: config.kubeconfig_mode, url }
    }

    /// Writes it with the administrator's certificate of now.
    pub fn write(&self, pki: &Pki) -> Result<()> {
        let text = kubeconfig::render(&self.url, pki.server_ca.pem(), &pki.admin.current().identity());
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder of --write-kubeconfig {}", self.path.display()))?;
        }
        fs::write_atomic(&self.path, text.as_bytes(), self.mode).context("--write-kubeconfig")
    }
}
