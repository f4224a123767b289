//! `skiff agent`: a node of a cluster whose control plane is elsewhere. The same node as the
//! server's, over TLS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::config::AgentConfig;
use super::join;
use super::node;
use super::notify;
use super::renewal::{OfAgent, Renewal};
use super::signals::Signals;
use crate::base::clock::SystemClock;
use crate::base::service::Scope;
use crate::base::{fs, telemetry};
use crate::client::{Backend, Cache, Client, Follow, Recorder};
use crate::object::kind::{ENDPOINT_SLICE, NODE, POD, SERVICE};
use crate::object::{Kind, User};
use crate::security::pki::node_client;

const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Runs until a signal says otherwise.
pub async fn run(config: AgentConfig) -> Result<()> {
    telemetry::start(&config.log);
    fs::private_dir(&config.data_dir).context("cannot make --data-dir")?;
    let config = Arc::new(config);
    let root = Scope::root("skiff");
    let mut signals = Signals::listen()?;
    tokio::select! {
        started = start(&root, &config) => started?,
        () = signals.next() => return Ok(()),
    }
    notify::ready();
    signals.next().await;
    notify::stopping();
    tokio::select! {
        _ = root.stop(STOP_LIMIT) => Ok(()),
        () = signals.next() => anyhow::bail!("stopped at once by a second signal"),
    }
}

async fn start(root: &Scope, config: &Arc<AgentConfig>) -> Result<()> {
    let clock = SystemClock::shared();
    let joined = join::agent::join(config).await?;
    let backend: Arc<dyn Backend> = joined.held.backend.clone();
    let node_user = User::named(&node_client(&config.node.name).common_name, &[]);
    let reader = Client::new(backend.clone(), node_user, "skiff-agent");
    let recorder = Recorder::start(root, reader.clone(), clock.clone(), "skiff", &config.node.name);
    let of = OfAgent::new(config.clone(), joined.held.clone());
    let node = config.node.name.clone();
    Renewal { of, clock: clock.clone(), node, recorder: Some(recorder) }.start(root);
    let cache = Cache::start(root, reader, clock.clone(), follows(&config.node.name));
    let setup = node::Setup {
        data_dir: config.data_dir.clone(),
        node: config.node.clone(),
        network: joined.network,
        control_plane: false,
        serving: joined.held.serving,
        shown: Some(joined.held.kubelet),
        client_ca: joined.client_ca,
        backend,
        cache,
        clock,
    };
    setup.start(root)
}

/// What a node must know: its own pods, and everything that pods talk to. What they refer to is read
/// one by one: nobody may list secrets just for having a node.
fn follows(node: &str) -> Vec<Follow> {
    let own_pods = Follow { field_selector: format!("spec.nodeName={node}"), ..Follow::all(&POD) };
    let kinds: [&Kind; 3] = [&SERVICE, &ENDPOINT_SLICE, &NODE];
    kinds.into_iter().map(Follow::all).chain([own_pods]).collect()
}
