//! `skiff server`: a whole cluster in one process, put together in the order of what needs what.
//!
//! Store → API → port → what every cluster has → controllers and scheduler → node. Stopping goes
//! the other way round. Nothing here decides anything; it only hands each part what it needs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::backend::InProcess;
use super::bootstrap;
use super::config::ServerConfig;
use super::dialer::Direct;
use super::loops::Loops;
use super::notify;
use crate::api::authn::{Authn, Trust};
use crate::api::{self, Api, Settings, Setup};
use crate::base::clock::{ClockRef, SystemClock};
use crate::base::rand::{RandRef, SystemRand};
use crate::base::service::Scope;
use crate::base::{fs, telemetry};
use crate::client::Client;
use crate::object::{Timestamp, User};
use crate::resources::Registry;
use crate::security::join::JoinToken;
use crate::security::pki::Pki;
use crate::security::{kubeconfig, tls, tokens};
use crate::store::{Options, Store};

/// How long requests and loops get to end when the server stops.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Runs until a signal says otherwise.
pub async fn run(config: ServerConfig) -> Result<()> {
    telemetry::start(&config.log);
    let clock = SystemClock::shared();
    let started = clock.elapsed();
    let root = Scope::root("skiff");
    let mut signals = Signals::listen()?;
    let starting = start(&root, &config, clock.clone());
    let stages = tokio::select! {
        stages = starting => stages?,
        () = signals.first() => return Ok(()),
    };
    notify::ready();
    tracing::info!(took = ?(clock.elapsed() - started), port = config.port, version = crate::VERSION, "ready");
    signals.first().await;
    tracing::info!("stopping");
    notify::stopping();
    tokio::select! {
        () = stages.stop() => Ok(()),
        () = signals.first() => anyhow::bail!("stopped at once by a second signal"),
    }
}

/// What was started, each part before those that need it.
struct Stages(Vec<Scope>);

impl Stages {
    fn next(&mut self, root: &Scope, name: &'static str) -> Scope {
        let scope = root.child(name);
        self.0.push(scope.clone());
        scope
    }

    async fn stop(self) {
        for scope in self.0.into_iter().rev() {
            if !scope.stop(STOP_LIMIT).await {
                tracing::warn!(?STOP_LIMIT, "a part did not stop in time");
            }
        }
    }
}

async fn start(root: &Scope, config: &ServerConfig, clock: ClockRef) -> Result<Stages> {
    let mut stages = Stages(Vec::new());
    let rand = SystemRand::shared();
    fs::private_dir(&config.data_dir).context("cannot make --data-dir")?;
    let listener = bind(SocketAddr::new(config.bind_address, config.port)).await?;
    let server_dir = config.data_dir.join("server");

    let scope = stages.next(root, "store");
    let opening = Store::open(Options::new(server_dir.join("db")), &scope);
    let (store, identities) = tokio::join!(opening, open_identities(config, &server_dir, clock.clone()));
    let store = store.with_context(|| format!("cannot open the store in {}", server_dir.join("db").display()))?;
    let pki = identities?;

    let http = stages.next(root, "http");
    let api = api(config, &pki, store, &http, clock.clone(), rand)?;
    let serving = tls::Serving::new(&pki.serving)?;
    let tls = tls::server_config(serving, &[pki.client_ca.der(), pki.request_header_ca.der()])?;
    api::server::serve(api.clone(), listener, tls, &http);

    let backend = Arc::new(InProcess(api.clone()));
    let client = Client::new(backend.clone(), User::named("system:apiserver", &["system:masters"]), "kube-apiserver");
    let facts = bootstrap::Facts {
        advertise_address: config.advertise_address,
        port: config.port,
        service_ip: config.network.api_service_ip(),
        service_cidrs: config.network.service_cidrs.clone(),
        client_ca_pem: pki.client_ca.pem().to_owned(),
        request_header_ca_pem: pki.request_header_ca.pem().to_owned(),
    };
    bootstrap::ensure(&client, &facts).await.context("cannot write what every cluster has")?;
    write_kubeconfig(config, &pki)?;
    let loops = Loops::of(config, backend, clock, pki.server_ca.pem());
    loops.follow_leadership(&stages.next(root, "control plane"), api.store.role());
    Ok(stages)
}

async fn open_identities(config: &ServerConfig, server_dir: &Path, clock: ClockRef) -> Result<Arc<Pki>> {
    let now = Timestamp::from_nanos(clock.wall_nanos()).as_secs();
    let (folder, sans) = (server_dir.join("tls"), sans(config));
    let pki = Scope::blocking(move || Pki::open(&folder, sans, now)).await.context("cannot open the certificates")?;
    let given = config.token.as_ref().map(|token| token.0.as_str());
    JoinToken::keep(&server_dir.join("token"), given, pki.server_ca.pem()).context("cannot keep the join token")?;
    Ok(Arc::new(pki))
}

/// The names and addresses by which clients call this server.
fn sans(config: &ServerConfig) -> Vec<String> {
    let network = &config.network;
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"].map(str::to_owned);
    let mut sans: Vec<String> = names.into();
    sans.push(format!("kubernetes.default.svc.{}", network.cluster_domain));
    sans.push(config.node.name.clone());
    sans.extend(["127.0.0.1".to_owned(), "::1".to_owned(), network.api_service_ip().to_string()]);
    let addresses = config.node.ips.iter().chain([&config.advertise_address, &config.bind_address]);
    sans.extend(addresses.filter(|ip| !ip.is_unspecified()).map(ToString::to_string));
    sans.extend(config.tls_sans.iter().cloned());
    sans
}

fn api(
    config: &ServerConfig,
    pki: &Pki,
    store: Store,
    scope: &Scope,
    clock: ClockRef,
    rand: RandRef,
) -> Result<Arc<Api>> {
    let issuer = tokens::issuer(&config.network.cluster_domain);
    let trust = Trust {
        client_ca: pki.client_ca.der(),
        request_header_ca: pki.request_header_ca.der(),
        token_key: pki.token_key.clone(),
        issuer: issuer.clone(),
    };
    let authn = Authn::new(trust, Arc::new(store.clone()), clock.clone())?;
    Ok(Api::new(Setup {
        settings: Settings {
            service_cidrs: config.network.service_cidrs.clone(),
            node_ports: config.network.node_ports.clone(),
            advertise_address: config.advertise_address,
            port: config.port,
            issuer,
        },
        registry: Arc::new(Registry::built_in()),
        store,
        authn,
        token_key: pki.token_key.clone(),
        dialer: Arc::new(Direct::new(pki)?),
        scope: scope.clone(),
        clock,
        rand,
    }))
}

/// Takes the address first of all, so that a port in use is known before anything is changed.
async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} (--bind-address, --https-listen-port): is another server using it?")
    })
}

fn write_kubeconfig(config: &ServerConfig, pki: &Pki) -> Result<()> {
    let host = match config.bind_address {
        any if any.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
        address => address.to_string(),
    };
    let text = kubeconfig::render(&format!("https://{host}:{}", config.port), pki.server_ca.pem(), &pki.admin);
    if let Some(folder) = config.kubeconfig.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder of --write-kubeconfig {}", config.kubeconfig.display()))?;
    }
    fs::write_atomic(&config.kubeconfig, text.as_bytes(), config.kubeconfig_mode).context("--write-kubeconfig")
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    /// The next one of them.
    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}
