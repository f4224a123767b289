//! Before a server opens its store: getting from another what makes it one of its cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Member, SERVER, presence};
use crate::base::fs;
use crate::client::remote::Endpoint;
use crate::cmd::config::{NetworkConfig, ServerConfig};
use crate::cmd::encryption;
use crate::cmd::join::Network;
use crate::cmd::join::agent::{Failure, ask_with_token};
use crate::security::join::JoinToken;
use crate::security::pki::Pki;

const RETRY: Duration = Duration::from_secs(3);

/// What a server gives to one that wants to be its peer and knows the token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    pub files: BTreeMap<String, String>,
    pub network: Network,
    pub members: Vec<Member>,
    /// What encrypts at rest; empty from a server that knows nothing of it.
    #[serde(default)]
    pub keys: String,
}

/// The name under which a joiner introduces itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Introduction {
    pub name: String,
    pub version: String,
}

/// What a joiner keeps of what it was given.
#[derive(Debug, Serialize, Deserialize)]
struct Joined {
    network: Network,
    members: Vec<Member>,
}

/// The servers that a joined server was told of, and the configuration that it must have.
pub struct Prepared {
    pub config: ServerConfig,
    /// This server's directory is, or will be, that of a cluster that others founded.
    pub joins: bool,
    pub members: Vec<Member>,
}

/// Gets certificates and network of the cluster that `--server` is of, unless they are here already.
pub async fn prepare(mut config: ServerConfig) -> Result<Prepared> {
    let folder = config.data_dir.join("server");
    let file = folder.join("joined.json");
    let mut members = presence::last_known(&folder);
    let joined = match fs::read_if_there(&file)? {
        Some(text) => serde_json::from_str::<Joined>(&text).context("joined.json is damaged")?,
        None if config.server.is_none() => return Ok(Prepared { config, joins: false, members }),
        None => {
            if folder.join("db").exists() {
                // A founder, which may look for the others there after all have moved.
                return Ok(Prepared { config, joins: false, members });
            }
            let joined = fetch(&config, &folder).await?;
            fs::write_atomic(&file, &serde_json::to_vec(&joined)?, 0o600)?;
            joined
        }
    };
    let network: NetworkConfig = joined.network.into();
    if network != config.network {
        tracing::info!("the networks are those of the cluster that this server joined");
        config.network = network;
    }
    let told = joined.members.into_iter().filter(|it| members.iter().all(|known| known.id != it.id));
    members.extend(told.collect::<Vec<_>>());
    Ok(Prepared { config, joins: true, members })
}

async fn fetch(config: &ServerConfig, folder: &Path) -> Result<Joined> {
    let server = config.server.as_ref().context("--server says where")?;
    let token = config.token.as_ref().map(|token| JoinToken::parse(&token.0));
    let token = token.context("give --token or --token-file: `skiff token` prints it on the first server")?;
    let endpoint = Endpoint { host: server.host.clone(), port: server.port };
    let own = Introduction { name: config.node.name.clone(), version: crate::VERSION.to_owned() };
    let body = serde_json::to_vec(&own)?;
    fs::private_dir(folder)?;
    let trusted = folder.join("joined-ca.crt");
    loop {
        match ask_with_token(&endpoint, &token, &trusted, SERVER, body.clone().into()).await {
            Ok(answer) => {
                let given: Credentials =
                    serde_json::from_slice(&answer).context("the server's answer is not what it should be")?;
                Pki::adopt(&folder.join("tls"), &given.files)?;
                if !given.keys.is_empty() {
                    fs::write_atomic(&folder.join(encryption::FILE), given.keys.as_bytes(), 0o600)?;
                }
                return Ok(Joined { network: given.network, members: given.members });
            }
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Unreachable(status)) => {
                tracing::warn!(%status, "cannot join yet; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
