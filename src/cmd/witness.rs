//! `skiff server --witness`: a vote and a log for two servers that run elsewhere, on a machine that is
//! too small for more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::cluster::{self, Book, Carrier, WitnessServer};
use super::config::ServerConfig;
use super::encryption::{self, Encryption};
use super::renewal::{OfServer, Renewal};
use super::signals::Signals;
use super::{notify, server};
use crate::base::clock::SystemClock;
use crate::base::service::Scope;
use crate::base::{fs, telemetry};
use crate::client::remote::Endpoint;
use crate::security::tls;
use crate::store::{LogLimits, NetworkRef, Options, RingLimits, Store};

const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How much of the log is kept for servers that were away: all that a witness has.
const LOG: LogLimits = LogLimits { bytes: 64 << 20, entries: 20_000 };

/// Runs until a signal says otherwise.
pub async fn run(config: ServerConfig) -> Result<()> {
    telemetry::start(&config.log);
    let root = Scope::root("skiff");
    let mut signals = Signals::listen()?;
    let starting = start(&root, config);
    let store = tokio::select! {
        started = starting => started?,
        () = signals.next() => return Ok(()),
    };
    notify::ready();
    tracing::info!(version = crate::VERSION, "ready as a witness");
    signals.next().await;
    notify::stopping();
    store.resign().await;
    if !root.stop(STOP_LIMIT).await {
        tracing::warn!(?STOP_LIMIT, "a part did not stop in time");
    }
    Ok(())
}

async fn start(root: &Scope, config: ServerConfig) -> Result<Store> {
    fs::private_dir(&config.data_dir).context("cannot make --data-dir")?;
    let listener = server::bind(SocketAddr::new(config.bind_address, config.port)).await?;
    let server_dir = config.data_dir.join("server");
    let cluster::Prepared { config, joins, members } = cluster::prepare(config).await?;
    if !joins {
        bail!("--witness is for a cluster that others founded: give its --server and --token, and an empty --data-dir");
    }
    let book = Book::new();
    members.into_iter().for_each(|member| book.hear(member));
    let carrier = Carrier::new(book.clone());
    let network: NetworkRef = Arc::new(carrier.clone());
    let history = RingLimits { events: 0, bytes: 0, ..RingLimits::default() };
    let db = server_dir.join("db");
    let keyring = encryption::open(&server_dir, &config.encryption).await?;
    let options = Options {
        network,
        joins,
        rejoins: true,
        witness: true,
        log: LOG,
        history,
        seal: keyring.seal(),
        ..Options::new(&db)
    };
    let store = Store::open(options, &root.child("store")).await;
    let store = store.with_context(|| format!("cannot open the store in {}", db.display()))?;
    let (pki, _) = server::open_identities(&config, &server_dir, SystemClock::shared()).await?;
    carrier.open(server::member(&config, &store), &pki)?;
    let http = root.child("http");
    let authn = server::authn(&config, &pki, &store, SystemClock::shared())?;
    if let Some(rules) = &config.encryption.rules {
        encryption::watch(&http, keyring.clone(), rules.clone());
    }
    let site = WitnessServer {
        authn,
        pki: pki.clone(),
        store: store.clone(),
        carrier: carrier.clone(),
        data_dir: config.data_dir.clone(),
        encryption: Encryption { keyring, store: store.clone(), carrier: carrier.clone() },
    };
    let seed = config.server.as_ref().map(|url| Endpoint { host: url.host.clone(), port: url.port }.authority());
    let tls = tls::server_config(pki.serving.current().clone(), &[pki.client_ca.der(), pki.request_header_ca.der()])?;
    let site = Arc::new(site);
    site.start(&http, seed.clone());
    let of = OfServer::new(pki, carrier.clone(), None);
    let node = config.node.name.clone();
    Renewal { of, clock: SystemClock::shared(), node, recorder: None }.start(&http);
    crate::api::server::serve(site, listener, tls, &http);
    if store.is_outside() {
        cluster::enter(&carrier, &store, seed).await?;
    }
    Ok(store)
}
