//! `--datastore-endpoint`: the state in an etcd that others operate, and what the servers of a cluster
//! tell each other through it.
//!
//! The first server leaves the authorities' keys and the networks there, sealed with the join token's
//! secret; the others take them. After that nothing on their disks is needed but the token.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::{DatastoreConfig, NetworkConfig, ServerConfig};
use super::join::Network;
use super::server::open_identities;
use crate::base::clock::ClockRef;
use crate::base::fs;
use crate::base::service::Scope;
use crate::security::join::JoinToken;
use crate::security::pki::Pki;
use crate::security::{Identity, hex, random_bytes, sealed, tls};
use crate::store::{Etcd, EtcdError, EtcdErrorKind, EtcdOptions, External, ExternalError, RingLimits, Store};

/// How long a start waits for an etcd that does not answer. Service managers then try again.
const START_MAX: Duration = Duration::from_secs(15);
/// Under which the first server leaves what the others need.
const SHARED: &str = "bootstrap";
/// Where distributions keep the authorities that everybody trusts.
const SYSTEM_ROOTS: &[&str] = &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// What every server of the cluster must have.
#[derive(Serialize, Deserialize)]
struct Shared {
    files: BTreeMap<String, String>,
    network: Network,
}

/// A server whose state is in etcd.
pub struct Opened {
    pub store: Store,
    pub pki: Arc<Pki>,
    pub token: JoinToken,
    /// No other process uses the data directory while this lives.
    pub lock: Lock,
}

pub struct Lock {
    _file: Flock<File>,
}

/// Opens the store in etcd. `config` gets the networks of the cluster.
pub async fn open(
    config: &mut ServerConfig,
    datastore: &DatastoreConfig,
    clock: ClockRef,
    scope: &Scope,
) -> Result<Opened> {
    let folder = config.data_dir.join("server");
    if folder.join("db").exists() {
        bail!(
            "{} holds a state of its own, which --datastore-endpoint does not take over: choose another --data-dir, or remove it",
            folder.join("db").display()
        );
    }
    fs::private_dir(&folder)?;
    let (instance, lock) = take_instance(&folder)?;
    let etcd = connect(datastore).await?;
    let (pki, token) = identities(config, &folder, &etcd, &clock).await.map_err(|error| explain(error, datastore))?;
    let external = External {
        etcd,
        id: id_of(&config.node.name),
        dir: folder.join("db"),
        instance,
        clock,
        history: RingLimits::default(),
    };
    let store = Store::external(external, scope).await.map_err(|error| match error {
        ExternalError::Etcd(error) => explain(error.into(), datastore),
        namesake @ ExternalError::Namesake => namesake.into(),
    })?;
    Ok(Opened { store, pki, token, lock })
}

/// Where a server says that its state is in etcd, and which of its name it is.
fn instance_file(server_dir: &Path) -> PathBuf {
    server_dir.join("etcd-instance")
}

/// Refuses what only makes sense for a state on this disk.
pub fn refuse_external(server_dir: &Path) -> Result<()> {
    let file = instance_file(server_dir);
    if file.exists() {
        bail!(
            "the state of this server is in etcd (--datastore-endpoint), not in {}: use `etcdctl snapshot`; to begin a \
             cluster of its own here, remove {} first",
            server_dir.display(),
            file.display()
        );
    }
    Ok(())
}

fn take_instance(server_dir: &Path) -> Result<(String, Lock)> {
    let path = instance_file(server_dir);
    if fs::read_if_there(&path)?.is_none() {
        fs::write_atomic(&path, hex(&random_bytes::<8>()).as_bytes(), 0o600)?;
    }
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno);
    let file = lock.with_context(|| format!("{} is in use by another process", server_dir.display()))?;
    let instance = fs::read_if_there(&path)?.unwrap_or_default();
    Ok((instance.trim().to_owned(), Lock { _file: file }))
}

/// A server's id is of its name: it needs no disk to be the same again.
fn id_of(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes).max(1))
}

async fn connect(datastore: &DatastoreConfig) -> Result<Etcd> {
    let read = |flag: &str, path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {flag} {}", path.display()))
    };
    let identity = match (&datastore.certificate, &datastore.key) {
        (Some(certificate), Some(key)) => Some(Identity {
            certificate: read("--datastore-certfile", certificate)?,
            key: read("--datastore-keyfile", key)?,
        }),
        _ => None,
    };
    let given = datastore.authority.as_deref();
    let authority = match given.or_else(|| SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists())) {
        Some(path) => read("--datastore-cafile", path)?,
        None => String::new(),
    };
    let tls = match datastore.endpoints.iter().any(|endpoint| endpoint.is_tls) {
        true => Some(tls::client_config(&authority, identity.as_ref()).context(
            "--datastore-cafile, --datastore-certfile and --datastore-keyfile must be certificates and a key in PEM",
        )?),
        false => None,
    };
    let options = EtcdOptions { endpoints: datastore.endpoints.clone(), tls, prefix: datastore.prefix.clone() };
    let etcd = Etcd::new(&options);
    etcd.ready(START_MAX).await.map_err(|error| explain(error.into(), datastore))?;
    Ok(etcd)
}

/// The authorities and the token of the cluster: of the first server's making.
async fn identities(
    config: &mut ServerConfig,
    folder: &Path,
    etcd: &Etcd,
    clock: &ClockRef,
) -> Result<(Arc<Pki>, JoinToken)> {
    if let Some(note) = etcd.note(SHARED).await? {
        return adopt(config, folder, note.to_vec(), clock).await;
    }
    let (pki, token) = open_identities(config, folder, clock.clone()).await?;
    let shared = Shared { files: pki.shared()?, network: (&config.network).into() };
    let (secret, text) = (token.secret().to_owned(), serde_json::to_vec(&shared)?);
    let note = Scope::blocking(move || sealed::seal(&secret, &text)).await?;
    if etcd.leave_note(SHARED, note.into()).await? {
        return Ok((pki, token));
    }
    // Another server was first; its keys count.
    let note = etcd.note(SHARED).await?.context("what the servers share is gone from etcd")?;
    adopt(config, folder, note.to_vec(), clock).await
}

async fn adopt(
    config: &mut ServerConfig,
    folder: &Path,
    note: Vec<u8>,
    clock: &ClockRef,
) -> Result<(Arc<Pki>, JoinToken)> {
    let given = config.token.as_ref().map(|token| token.0.clone());
    let stored = fs::read_if_there(&folder.join("token"))?;
    let Some(token) = given.or(stored) else {
        bail!(
            "etcd holds a cluster already: give its --token or --token-file; `skiff token` prints it on another server"
        );
    };
    let secret = JoinToken::parse(&token).secret().to_owned();
    let opened = Scope::blocking(move || sealed::open(&secret, &note)).await?;
    let Some(text) = opened else {
        bail!("the cluster in etcd has another --token: `skiff token` prints it on its servers");
    };
    let shared: Shared = serde_json::from_slice(&text).context("what the servers share in etcd is damaged")?;
    Pki::adopt(&folder.join("tls"), &shared.files)?;
    let network: NetworkConfig = shared.network.into();
    if config.network != network {
        tracing::info!("the networks are those of the cluster in etcd");
        config.network = network;
    }
    open_identities(config, folder, clock.clone()).await
}

/// Says which flag to look at.
fn explain(error: anyhow::Error, datastore: &DatastoreConfig) -> anyhow::Error {
    let Some(kind) = error.downcast_ref::<EtcdError>().map(|error| error.kind) else { return error };
    let prefix = &datastore.prefix;
    let hint: String = match kind {
        EtcdErrorKind::Unreachable | EtcdErrorKind::Lost | EtcdErrorKind::Unavailable => {
            "etcd does not answer: is it running, and is --datastore-endpoint where it listens?".into()
        }
        EtcdErrorKind::Tls => "--datastore-endpoint says https, but there is no TLS".into(),
        EtcdErrorKind::Untrusted => {
            "--datastore-cafile must hold the authority of etcd's certificate, which must name the host in --datastore-endpoint".into()
        }
        EtcdErrorKind::Certificate => {
            "etcd wants a client certificate that it trusts: --datastore-certfile and --datastore-keyfile".into()
        }
        EtcdErrorKind::Denied => format!(
            "the user that --datastore-certfile names may not read and write {prefix}/ in etcd: grant its role that"
        ),
        EtcdErrorKind::Foreign => "what listens at --datastore-endpoint is no etcd v3".into(),
        EtcdErrorKind::Full | EtcdErrorKind::TooLarge | EtcdErrorKind::Compacted | EtcdErrorKind::LeaseGone => {
            "etcd (--datastore-endpoint) did not do what a start needs".into()
        }
    };
    error.context::<String>(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_the_same_by_its_name() {
        assert_eq!(id_of("a"), id_of("a"));
        assert_ne!(id_of("a"), id_of("b"));
    }

    #[test]
    fn one_process_at_a_time_uses_a_data_directory() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refuse_external(folder.path()).is_ok());
        let (instance, lock) = take_instance(folder.path()).unwrap();
        assert!(take_instance(folder.path()).is_err());
        drop(lock);
        assert_eq!(take_instance(folder.path()).unwrap().0, instance);
        assert!(refuse_external(folder.path()).unwrap_err().to_string().contains("--datastore-endpoint"));
    }
}
