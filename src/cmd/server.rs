//! `skiff server`: a whole cluster in one process, put together in the order of what needs what.
//!
//! Store → API → port → what every cluster has → controllers and scheduler → node. Stopping goes
//! the other way round. Nothing here decides anything; it only hands each part what it needs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;

use super::auditing;
use super::authentication;
use super::authorization;
use super::backend::{InProcess, OnLeader};
use super::bootstrap;
use super::cluster::{self, Book, Carrier, ClusterServer, Leader, Member};
use super::config::ServerConfig;
use super::damage::Reporter;
use super::datastore::{self, Opened};
use super::dialer::Direct;
use super::encryption::{self, Encryption};
use super::join::{self, server::JoinServer};
use super::kubeconfig::Kubeconfig;
use super::loops::{self, Loops};
use super::node;
use super::notify;
use super::published::Published;
use super::renewal::{OfServer, Renewal};
use super::signals::Signals;
use crate::api::authn::{Authn, Trust};
use crate::api::started::Step;
use crate::api::{self, Api, Settings, Setup};
use crate::backup::Backup;
use crate::base::clock::{ClockRef, SystemClock};
use crate::base::rand::{RandRef, SystemRand};
use crate::base::service::Scope;
use crate::base::{fs, telemetry};
use crate::client::remote::Endpoint;
use crate::client::{Cache, Client, Follow, Recorder};
use crate::controllers::addons::Kinds;
use crate::object::{Gvk, Kind, Status, Timestamp, User};
use crate::resources::Registry;
use crate::security::join::JoinToken;
use crate::security::pki::Pki;
use crate::security::tls;
use crate::store::{Health, Options, Role, Store};

/// How long a start waits for somebody to lead. The node must run also when nobody does.
const LEADERLESS_MAX: Duration = Duration::from_secs(15);
/// When a server that leads, and could not write at its start, tries again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// How long requests and loops get to end when the server stops.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Runs until a signal says otherwise.
pub async fn run(config: ServerConfig) -> Result<()> {
    telemetry::start(&config.log);
    let clock = SystemClock::shared();
    let started = clock.elapsed();
    let root = Scope::root("skiff");
    let mut signals = Signals::listen()?;
    let port = config.port;
    let starting = start(&root, config, clock.clone());
    let stages = tokio::select! {
        stages = starting => stages?,
        () = signals.next() => return Ok(()),
    };
    notify::ready();
    tracing::info!(took = ?(clock.elapsed() - started), port, version = crate::VERSION, "ready");
    signals.next().await;
    tracing::info!("stopping");
    notify::stopping();
    if let Some(api) = &stages.api {
        api.health.stop();
        let delay = api.settings.limits.shutdown_delay;
        tokio::select! {
            () = tokio::time::sleep(delay) => (),
            () = signals.next() => anyhow::bail!("stopped at once by a second signal"),
        }
    }
    tokio::select! {
        () = stages.stop() => Ok(()),
        () = signals.next() => anyhow::bail!("stopped at once by a second signal"),
    }
}

/// What was started, each part before those that need it.
struct Stages {
    scopes: Vec<Scope>,
    /// Lets another server lead before anything stops, so that no request finds nobody.
    store: Option<Store>,
    /// Says that it is not ready any more before anything else happens.
    api: Option<Arc<Api>>,
    /// On the data directory of a server whose state is elsewhere; a store of its own has its own lock.
    lock: Option<datastore::Lock>,
}

impl Stages {
    fn next(&mut self, root: &Scope, name: &'static str) -> Scope {
        let scope = root.child(name);
        self.scopes.push(scope.clone());
        scope
    }

    async fn stop(self) {
        if let Some(store) = &self.store {
            store.resign().await;
        }
        let requests = self.api.map_or(Duration::ZERO, |api| api.settings.limits.request);
        for scope in self.scopes.into_iter().rev() {
            if !scope.stop(STOP_LIMIT.max(requests + STOP_LIMIT / 2)).await {
                tracing::warn!(?STOP_LIMIT, "a part did not stop in time");
            }
        }
    }
}

async fn start(root: &Scope, config: ServerConfig, clock: ClockRef) -> Result<Stages> {
    let mut stages = Stages { scopes: Vec::new(), store: None, api: None, lock: None };
    let rand = SystemRand::shared();
    fs::private_dir(&config.data_dir).context("cannot make --data-dir")?;
    let listener = bind(SocketAddr::new(config.bind_address, config.port)).await?;
    let server_dir = config.data_dir.join("server");

    let cluster::Prepared { mut config, joins, members } = cluster::prepare(config).await?;
    let mut others = std::mem::take(&mut config.others);
    let mut authorizers = std::mem::take(&mut config.authorizers);
    let book = Book::new();
    let rejoins = members.iter().any(|member| member.name != config.node.name);
    members.into_iter().for_each(|member| book.hear(member));
    let carrier = Carrier::new(book.clone());

    let scope = stages.next(root, "store");
    let (store, pki, token, keyring) = match config.datastore.clone() {
        Some(etcd) => {
            let opened = datastore::open(&mut config, &etcd, clock.clone(), &scope).await?;
            let Opened { store, pki, token, lock } = opened;
            stages.lock = Some(lock);
            (store, pki, token, None)
        }
        None => {
            datastore::refuse_external(&server_dir)?;
            let keyring = encryption::open(&server_dir, &config.encryption).await?;
            let options = Options {
                network: Arc::new(carrier.clone()),
                joins,
                rejoins,
                seal: keyring.seal(),
                ..Options::new(server_dir.join("db"))
            };
            let opening = open_built_in(&config, options, &scope, clock.clone());
            let (store, pki, token) = opening.await.map_err(|error| encryption::explain(error, &server_dir))?;
            (store, pki, token, Some(keyring))
        }
    };
    let config = &config;
    stages.store = Some(store.clone());
    book.open(store.clone());
    carrier.open(member(config, &store), &pki)?;

    let audit = stages.next(root, "audit");
    let http = stages.next(root, "http");
    let api = api(config, &pki, store.clone(), &http, clock.clone(), rand.clone())?;
    stages.api = Some(api.clone());
    let is_new = store.is_outside();
    api.is_closed.store(is_new, Ordering::Release);
    if let Some(wanted) = &config.audit {
        auditing::start(&api, wanted, &audit, clock.clone())?;
    }
    authentication::start(&api, &mut others, &config.tokens.issuers, &http)?;
    if let Some(wanted) = &config.token_webhook {
        authorization::start_tokens(&api, wanted, &http, clock.clone())?;
    }
    authorization::start(&api, &mut authorizers, &format!("{:016x}", store.id()), &http, clock.clone())?;
    api::authn::legacy::start(&api, &http);
    api.started.expect(&api.health);
    let encryption = keyring.map(|keyring| Encryption { keyring, store: store.clone(), carrier: carrier.clone() });
    if let (Some(Encryption { keyring, .. }), Some(rules)) = (&encryption, &config.encryption.rules) {
        let asked = keyring.clone();
        api.health.add("kms-providers", true, Box::new(move || asked.health()));
        encryption::watch(&http, keyring.clone(), rules.clone());
    }
    let backup = match config.datastore {
        Some(_) => None,
        None => Some(Backup::new(store.clone(), clock.clone(), config.node.name.clone(), config.backup.clone())?),
    };
    if let Some(backup) = &backup {
        backup.start(&http);
    }
    api::crd::start(&api, &http);
    api::aggregate::start(&api, &http);
    api::expiry::start(&api, &http);
    api::flow::start(&api, &http);
    if config.run_controllers {
        api::admission::policy::types::start(&api, &http);
    }
    let leader = Arc::new(Leader { carrier: carrier.clone(), store: store.clone() });
    let _ = api.elsewhere.set(leader.clone());
    let backend = Arc::new(InProcess { api: api.clone(), leader });
    let client = Client::new(backend.clone(), User::named("system:apiserver", &["system:masters"]), "kube-apiserver");
    let seed = config.server.as_ref().map(|url| Endpoint { host: url.host.clone(), port: url.port }.authority());
    let cluster = ClusterServer {
        api: api.clone(),
        carrier: carrier.clone(),
        pki: pki.clone(),
        network: config.network.clone(),
        data_dir: config.data_dir.clone(),
        backup,
        encryption,
    };
    cluster.start(&http, seed.clone());
    let joining = JoinServer {
        pki: pki.clone(),
        token,
        network: config.network.clone(),
        client: client.clone(),
        clock: clock.clone(),
        cluster,
    };
    let _ = api.extension.set(Arc::new(joining));
    let tls = tls::server_config(pki.serving.current().clone(), &[pki.client_ca.der(), pki.request_header_ca.der()])?;
    api::server::serve(api.clone(), listener, tls, &http);
    if is_new {
        cluster::enter(&carrier, &store, seed).await?;
        api.is_closed.store(false, Ordering::Release);
    }
    let facts = bootstrap::Facts {
        servers: vec![config.advertise_address],
        port: config.port,
        service_ip: config.network.api_service_ip(),
        service_cidrs: config.network.service_cidrs.clone(),
        client_ca_pem: pki.client_ca.pem().to_owned(),
        request_header_ca_pem: pki.request_header_ca.pem().to_owned(),
        today: api.now().to_string().split('T').next().unwrap_or_default().to_owned(),
    };
    let mut is_furnished = false;
    while !is_furnished && leads_first(&store).await {
        match bootstrap::ensure(&client, &facts).await {
            Ok(()) => is_furnished = true,
            Err(error) if is_passing(&error) => {
                tracing::warn!("what every cluster has cannot be written yet: {error:#}; it is tried again");
                tokio::time::sleep(WRITE_AGAIN).await;
            }
            Err(error) => return Err(error.context("cannot write what every cluster has")),
        }
    }
    match is_furnished || bootstrap::is_there(&api.state(), &facts) {
        true => api.started.reached(Step::Bootstrap),
        false => furnish_later(&http, api.clone(), client.clone(), facts.clone()),
    }
    Published { store: store.clone(), carrier: carrier.clone(), client: client.clone(), facts }.start(&http);
    let node = config.node.name.as_str().into();
    Reporter { store: store.clone(), client: client.clone(), node, clock: clock.clone() }.start(&http);
    let kubeconfig = Kubeconfig::of(config);
    kubeconfig.write(&pki)?;
    let of = OfServer::new(pki.clone(), carrier, Some(kubeconfig));
    let node = config.node.name.clone();
    let recorder = Recorder::start(&http, client.clone(), clock.clone(), "skiff", &node);
    Renewal { of, clock: clock.clone(), node, recorder: Some(recorder) }.start(&http);
    if config.run_controllers || config.run_scheduler || config.run_node {
        let cache = Cache::start(&stages.next(root, "cache"), client, clock.clone(), Follow::built_in());
        cache.follow_custom_resources();
        loops::lay_out_manifests(config).context("cannot write the packaged manifests")?;
        let kinds = kinds_of(&api);
        let loops = Loops::of(config, Arc::new(OnLeader(api.clone())), cache.clone(), clock.clone(), rand, &pki, kinds);
        loops.follow_leadership(&stages.next(root, "control plane"), api.store.role());
        if config.run_node {
            start_node(&stages.next(root, "node"), config, &pki, backend, cache, clock)?;
        }
    }
    Ok(stages)
}

/// The store on this server's disk, and who this server is.
async fn open_built_in(
    config: &ServerConfig,
    options: Options,
    scope: &Scope,
    clock: ClockRef,
) -> Result<(Store, Arc<Pki>, JoinToken)> {
    let folder = config.data_dir.join("server");
    let joins = options.joins;
    let (store, opened) = tokio::join!(Store::open(options, scope), open_identities(config, &folder, clock));
    let store = store.with_context(|| format!("cannot open the store in {}", folder.join("db").display()))?;
    let (pki, token) = opened?;
    if !joins && config.server.is_some() && store.members().borrow().voters == [store.id()] {
        bail!(
            "{} holds a cluster of its own: leave --server out, or choose an empty --data-dir to join another",
            folder.display()
        );
    }
    Ok((store, pki, token))
}

/// Waits for another to write what every cluster has, and writes it if this server comes to lead.
fn furnish_later(scope: &Scope, api: Arc<Api>, client: Client, facts: bootstrap::Facts) {
    let inner = scope.clone();
    scope.spawn("bootstrap", async move {
        let written = async {
            while !bootstrap::is_there(&api.state(), &facts) {
                tokio::time::sleep(WRITE_AGAIN).await;
                if api.store.leads()
                    && let Err(error) = bootstrap::ensure(&client, &facts).await
                {
                    tracing::warn!("what every cluster has cannot be written yet: {error:#}; it is tried again");
                }
            }
        };
        tokio::select! {
            () = written => api.started.reached(Step::Bootstrap),
            () = inner.stopping() => (),
        }
    });
}

/// Waits until somebody leads; tells whether it is this server.
async fn leads_first(store: &Store) -> bool {
    let mut role = store.role();
    let mut health = store.health();
    let settled = role.wait_for(|role| !matches!(role, Role::Follower { leader: None, .. }));
    tokio::select! {
        settled = settled => return settled.is_ok_and(|role| matches!(*role, Role::Leader { .. })),
        // A store that cannot write leads nobody; what it has can be read all the same.
        _ = health.wait_for(|health| *health != Health::Good) => (),
        () = tokio::time::sleep(LEADERLESS_MAX) => tracing::warn!("no server leads the cluster: are more than half of its servers there?"),
    }
    false
}

/// Whether a write failed for what the store or the other servers go through just now.
fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() >= 500)
}

/// This server, as the others shall know it.
pub(super) fn member(config: &ServerConfig, store: &Store) -> Member {
    Member {
        id: format!("{:016x}", store.id()),
        name: config.node.name.clone(),
        address: SocketAddr::new(config.advertise_address, config.port).to_string(),
        version: crate::VERSION.to_owned(),
        is_witness: config.witness,
        is_removed: false,
    }
}

pub(super) async fn open_identities(
    config: &ServerConfig,
    server_dir: &Path,
    clock: ClockRef,
) -> Result<(Arc<Pki>, JoinToken)> {
    let now = Timestamp::from_nanos(clock.wall_nanos()).as_secs();
    let (folder, sans) = (server_dir.join("tls"), sans(config));
    let pki = Scope::blocking(move || Pki::open(&folder, sans, now)).await.context("cannot open the certificates")?;
    let given = config.token.as_ref().map(|token| token.0.as_str());
    if let Some(given) = given.map(JoinToken::parse)
        && server_dir.join("token").exists()
        && !given.accepts_authority(pki.server_ca.pem())
    {
        bail!(
            "--token is of another cluster than {}: leave it out, or choose an empty --data-dir to join that cluster",
            server_dir.display()
        );
    }
    let token = JoinToken::keep(&server_dir.join("token"), given, pki.server_ca.pem());
    Ok((Arc::new(pki), token.context("cannot keep the join token")?))
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

/// Who asks, by what they show.
pub(super) fn authn(config: &ServerConfig, pki: &Pki, store: &Store, clock: ClockRef) -> Result<Authn> {
    let trust = Trust {
        client_ca: pki.client_ca.der(),
        request_header_ca: pki.request_header_ca.der(),
        token_key: pki.token_key.clone(),
        issuers: config.tokens.issuers.clone(),
        audiences: config.tokens.audiences.clone(),
    };
    Ok(Authn::new(trust, Arc::new(store.clone()), clock)?)
}

fn api(
    config: &ServerConfig,
    pki: &Pki,
    store: Store,
    scope: &Scope,
    clock: ClockRef,
    rand: RandRef,
) -> Result<Arc<Api>> {
    let authn = authn(config, pki, &store, clock.clone())?;
    Ok(Api::new(Setup {
        settings: Settings {
            service_cidrs: config.network.service_cidrs.clone(),
            node_ports: config.network.node_ports.clone(),
            advertise_address: config.advertise_address,
            port: config.port,
            issuer: config.tokens.issuers[0].clone(),
            limits: config.limits,
        },
        registry: Arc::new(Registry::built_in()),
        store,
        authn,
        token_key: pki.token_key.clone(),
        dialer: Arc::new(Direct::new(pki)?),
        proxy_identity: Some(pki.proxy_client.current().clone()),
        scope: scope.clone(),
        clock,
        rand,
    }))
}

/// Takes the address first of all, so that a port in use is known before anything is changed.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} (--bind-address, --https-listen-port): is another server using it?")
    })
}

/// Finds kinds among those served now.
fn kinds_of(api: &Arc<Api>) -> Kinds {
    let api = api.clone();
    Arc::new(move |api_version, kind| {
        let gvk = Gvk::of(api_version, kind);
        let resource = api.registry.find_kind(&gvk)?;
        Some(Kind {
            group: gvk.group,
            version: gvk.version,
            kind: gvk.kind,
            plural: resource.plural.to_string().into(),
            namespaced: resource.is_namespaced(),
        })
    })
}

fn start_node(
    scope: &Scope,
    config: &ServerConfig,
    pki: &Pki,
    backend: Arc<InProcess>,
    cache: Arc<Cache>,
    clock: ClockRef,
) -> Result<()> {
    let now = Timestamp::from_nanos(clock.wall_nanos()).as_secs();
    let sans = join::kubelet_sans(&config.node.name, &config.node.ips);
    let serving = pki.node(&config.node.name, sans, now)?;
    let setup = node::Setup {
        data_dir: config.data_dir.clone(),
        node: config.node.clone(),
        network: config.network.clone(),
        control_plane: true,
        serving,
        shown: None,
        client_ca: pki.client_ca.pem().to_owned(),
        backend,
        cache,
        clock,
    };
    setup.start(scope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Reason;

    #[test]
    fn a_start_outlasts_the_loss_of_the_lead() {
        let failed = |reason| {
            let written: Result<(), Status> = Err(Status::new(reason, "no"));
            is_passing(&written.with_context(|| "cannot write ClusterRole admin").unwrap_err())
        };
        assert!(failed(Reason::ServiceUnavailable) && failed(Reason::Timeout) && failed(Reason::Other(507)));
        assert!(!failed(Reason::Forbidden) && !failed(Reason::Invalid));
    }
}
