//! Encryption at rest: opening the keys of a server, and `skiff secrets-encrypt`.

mod serve;
mod watch;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};

use super::admin;
use super::config::EncryptionConfig;
use super::config::flags::{AdminFlags, EncryptCommand};
use crate::base::clock::SystemClock;
use crate::base::fs;
use crate::base::seal::{SealError, SealRef};
use crate::object::Timestamp;
use crate::security::encryption::config::Config;
use crate::security::encryption::{Keyring, View};

pub use serve::Encryption;
pub use watch::watch;

/// The administrator's requests, and those of the other servers.
pub const PATH: &str = "/v1-skiff/encryption";
pub const KEYS: &str = "/v1-skiff/encryption/keys";
pub const REWRITE: &str = "/v1-skiff/encryption/rewrite";
pub const VIEW: &str = "/v1-skiff/encryption/view";
/// Where a server keeps its keys, below its folder.
pub const FILE: &str = "encryption-keys.json";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    Enable,
    Disable,
    Rotate,
    Reencrypt,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub wish: Wish,
}

/// How the servers are; one that could not be asked says why.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Servers {
    pub servers: Vec<ServerView>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerView {
    pub name: String,
    pub view: Option<View>,
    pub failure: String,
}

/// The keys in `server_dir`, and the rules of the file that the flags name. Plugins must answer.
pub async fn open(server_dir: &Path, config: &EncryptionConfig) -> Result<Arc<Keyring>> {
    let now = now_secs();
    fs::private_dir(server_dir)?;
    let keyring = Keyring::open(server_dir.join(FILE)).context("cannot open the encryption keys")?;
    if let Some(path) = &config.keys {
        keyring
            .adopt(&given_keys(path)?)
            .with_context(|| format!("cannot use --encryption-keys {}", path.display()))?;
    }
    if config.secrets {
        keyring.begin(now).context("cannot make an encryption key")?;
    }
    if let Some(path) = &config.rules {
        keyring.configure(Some(Config::read(path)?), now, true).await.context("--encryption-provider-config")?;
    }
    Ok(keyring)
}

/// The same keys for one look at what is sealed: nothing is changed for it.
pub async fn look(server_dir: &Path, config: &EncryptionConfig) -> Result<SealRef> {
    let keyring = Keyring::open(server_dir.join(FILE)).context("cannot open the encryption keys")?;
    if let Some(path) = &config.keys {
        keyring.know(&given_keys(path)?).with_context(|| format!("cannot use --encryption-keys {}", path.display()))?;
    }
    if let Some(path) = &config.rules {
        keyring.look_at(Config::read(path)?).await.context("--encryption-provider-config")?;
    }
    Ok(keyring.seal())
}

/// Says what to do when the store cannot be opened for want of a key.
pub fn explain(error: anyhow::Error, server_dir: &Path) -> anyhow::Error {
    let no_key = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(SealError::NoKey { .. } | SealError::Damaged { .. }))
    };
    if !error.chain().any(no_key) {
        return error;
    }
    error.context(format!(
        "put back {} as it was, from your copy or from another server of the cluster; with \
         --encryption-provider-config, put the key back into that file",
        server_dir.join(FILE).display()
    ))
}

fn given_keys(path: &Path) -> Result<String> {
    fs::read_if_there(path)?.with_context(|| format!("there is no --encryption-keys {}", path.display()))
}

pub async fn run(command: EncryptCommand) -> Result<()> {
    let (flags, wish) = match command {
        EncryptCommand::Status(flags) => return status(&flags).await,
        EncryptCommand::Enable(flags) => (flags, Wish::Enable),
        EncryptCommand::Disable(flags) => (flags, Wish::Disable),
        EncryptCommand::Rotate(flags) => (flags, Wish::Rotate),
        EncryptCommand::Reencrypt(flags) => (flags, Wish::Reencrypt),
    };
    let body = serde_json::to_vec(&Wanted { wish })?;
    let answer = admin::send(&flags.kubeconfig, Method::POST, PATH, body.into()).await?;
    let servers: Servers = serde_json::from_slice(&answer).context("the server's answer is not what it should be")?;
    println!(
        "{}",
        match wish {
            Wish::Enable =>
                "encryption is enabled: what is written from now on is encrypted; `reencrypt` does the rest",
            Wish::Disable =>
                "encryption is disabled: `reencrypt` decrypts what is there; keep the keys for old snapshots",
            Wish::Rotate => "there is a new key: `reencrypt` lets it take the place of the old one everywhere",
            Wish::Reencrypt =>
                "everything that the servers keep is written anew; snapshots from before are as they were",
        }
    );
    let failed: Vec<&ServerView> = servers.servers.iter().filter(|it| !it.failure.is_empty()).collect();
    for server in &failed {
        println!("server {} was not reached and follows by itself when it can: {}", server.name, server.failure);
    }
    match wish {
        Wish::Reencrypt if !failed.is_empty() => anyhow::bail!("run it again when all servers are there"),
        _ => Ok(()),
    }
}

async fn status(flags: &AdminFlags) -> Result<()> {
    let answer = admin::send(&flags.kubeconfig, Method::GET, PATH, Bytes::new()).await?;
    let servers: Servers = serde_json::from_slice(&answer).context("the server's answer is not what it should be")?;
    if flags.output == "json" {
        println!("{}", serde_json::to_string_pretty(&servers)?);
        return Ok(());
    }
    print!("{}", show(&servers));
    Ok(())
}

fn show(servers: &Servers) -> String {
    let mut out = String::new();
    for server in &servers.servers {
        let Some(view) = &server.view else {
            out += &format!("{}: not reached: {}\n", server.name, server.failure);
            continue;
        };
        out += &format!("{}: {}\n", server.name, if view.enabled { "Enabled" } else { "Disabled" });
        for entry in &view.resources {
            let key = if entry.key.is_empty() { "not encrypted" } else { &entry.key };
            out += &format!("  {}: {key}\n", entry.names.join(", "));
        }
        for key in &view.keys {
            out += &format!("  key {key}\n");
        }
    }
    out
}

fn now_secs() -> i64 {
    Timestamp::from_nanos(SystemClock::shared().wall_nanos()).as_secs()
}
