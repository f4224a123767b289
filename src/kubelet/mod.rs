//! The node: runs the pods bound to it and says how they are.
//!
//! Speaks CRI v1 to containerd, which it starts itself unless told of a running one. What a pod
//! needs next is decided by a pure function of the pod wished for and the pod seen
//! ([`pods::plan`]); one worker for each pod carries it out. Nothing here knows of networking: the
//! container runtime calls the CNI plugin. Containers never depend on this process being alive.

pub mod cgroups;
pub mod config;
pub mod containerd;
pub mod context;
pub mod counts;
pub mod cri;
pub mod evict;
pub mod images;
pub mod logs;
pub mod node;
pub mod pods;
pub mod probes;
pub mod server;
pub mod spec;
pub mod usage;
pub mod volumes;

pub use config::Config;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::ClockRef;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::client::{Cache, Client, Recorder};
use cgroups::tree::Cgroups;
use context::{Context, ContextRef};
use cri::Cri;
use node::facts::Facts;

const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Starts this node in tasks of `scope` and returns at once.
///
/// The node is registered even where no container runtime can be had; it says then that it is not
/// ready, and why. Stopping the scope stops the tasks and no container.
pub fn start(scope: &Scope, config: Config, client: Client, cache: Arc<Cache>, clock: ClockRef) {
    let scope = scope.child("kubelet");
    let recorder = Recorder::start(&scope, client.clone(), clock.clone(), "kubelet", &config.node_name);
    let facts = Facts::read(existing(&config.data_dir), config.pods_max);
    let runtime = node::RuntimeSlot::default();
    let pressures = Arc::new(evict::pressure::Pressures::default());
    if config.runtime_endpoint.is_none() {
        containerd::supervise(&scope, &config);
    }
    let told = (recorder.clone(), clock.clone(), runtime.clone(), pressures.clone());
    node::Node::new(config.clone(), facts.clone(), client.clone(), told).start(&scope);
    scope.spawn("kubelet", {
        let scope = scope.clone();
        async move {
            let starting = async {
                let cri = connect(&config).await;
                let _ = runtime.set(cri.clone());
                let ctx = context(config, facts, cri, client, cache, recorder, clock, pressures).await;
                run(&scope, ctx);
            };
            tokio::select! {
                () = starting => (),
                () = scope.stopping() => (),
            }
        }
    });
}

fn run(scope: &Scope, ctx: ContextRef) {
    let pods = pods::manager::Pods::start(scope, ctx.clone());
    let collector = Arc::new(images::collect::Collector::default());
    until_stopped(scope, "log rotation", logs::rotate::run(ctx.clone(), pods.clone()));
    until_stopped(scope, "eviction", evict::run(ctx.clone(), pods.clone(), collector.clone()));
    until_stopped(scope, "image collection", images::collect::run(ctx.clone(), pods.clone(), collector));
    let server = server::Server::new(ctx, pods, scope);
    scope.supervise("kubelet server", move || {
        let server = server.clone();
        async move { server.run().await.map_err(|error| Chain(&error).to_string()) }
    });
}

/// Runs work that would never end by itself.
fn until_stopped(scope: &Scope, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let stopping = scope.clone();
    scope.spawn(name, async move {
        tokio::select! {
            () = work => (),
            () = stopping.stopping() => (),
        }
    });
}

/// The nearest directory above that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|dir| dir.exists()).unwrap_or(path)
}

/// Connects to the runtime, however long it takes to come up, and brings it the pause image.
async fn connect(config: &Config) -> Cri {
    let socket = config.runtime_endpoint.clone().unwrap_or_else(|| config.paths().containerd_socket());
    loop {
        if let Ok(cri) = Cri::connect(socket.clone()).await
            && cri.version("v1").await.is_ok()
        {
            if config.runtime_endpoint.is_none() && config.pause_image.is_none() {
                bring_pause_image(&cri).await;
            }
            return cri;
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

async fn bring_pause_image(cri: &Cri) {
    let Some(arch) = containerd::pause::Arch::current() else { return };
    let image = match containerd::image::pause(arch) {
        Ok(image) => image,
        Err(error) => return tracing::error!(%error, "cannot build the pause image"),
    };
    let name = containerd::image::PAUSE_IMAGE;
    if let Err(error) = containerd::import::import(cri.channel(), name, &image).await {
        tracing::error!(error = %Chain(&error), "cannot import the pause image");
    }
}

async fn context(
    config: Config,
    facts: Facts,
    cri: Cri,
    client: Client,
    cache: Arc<Cache>,
    recorder: Recorder,
    clock: ClockRef,
    pressures: Arc<evict::pressure::Pressures>,
) -> ContextRef {
    let paths = config.paths();
    let cgroups = Cgroups::detect(&paths.cgroup);
    if let Some(Err(error)) = cgroups.as_ref().map(Cgroups::prepare) {
        tracing::warn!(%error, "cannot make the control groups of pods");
    }
    Arc::new(Context {
        memory_bytes: facts.memory_bytes,
        allocatable: facts.allocatable(),
        pressures,
        counts: counts::Counts::default(),
        snapshotter: containerd::view::snapshotter(&cri).await,
        config,
        paths,
        cri,
        client,
        cache,
        recorder,
        clock,
        cgroups,
    })
}
