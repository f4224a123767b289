//! This node's object and lease: made, kept up to date, renewed.
//!
//! The lease is the heartbeat, every ten seconds. The status is looked at as often, but written only
//! when it says something new, or after five minutes.

pub mod facts;
pub mod status;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::facts::Facts;
use self::status::{Pressure, Readiness};
use super::config::Config;
use super::cri::Cri;
use super::evict::pressure::Pressures;
use crate::base::clock::ClockRef;
use crate::base::service::Scope;
use crate::client::{Client, Note, Recorder};
use crate::object::kind::{LEASE, NODE};
use crate::object::tree::json;
use crate::object::view::Reference;
use crate::object::{Reason, Status, Timestamp, Tree, TreePath};

const LOOK_PERIOD: Duration = Duration::from_secs(10);
/// While the node is not ready, it is looked at often: pods wait.
const UNREADY_LOOK_PERIOD: Duration = Duration::from_millis(100);
const WRITE_PERIOD: Duration = Duration::from_secs(300);
const LEASE_SECONDS: i64 = 40;
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const LEASE_NAMESPACE: &str = "kube-node-lease";
const CONFLICTS_MAX: usize = 5;
/// How often the list of images is asked for, at least.
const IMAGES_PERIOD: Duration = Duration::from_secs(60);

/// The runtime, once a connection to it was made.
pub type RuntimeSlot = Arc<OnceLock<Cri>>;

pub struct Node {
    config: Config,
    facts: Facts,
    client: Client,
    recorder: Recorder,
    clock: ClockRef,
    runtime: RuntimeSlot,
    pressures: Arc<Pressures>,
}

/// What the last look found, kept between looks.
#[derive(Default)]
struct Looked {
    images: Vec<k8s_cri::v1::Image>,
    images_at: Option<Duration>,
    runtime_version: String,
    handlers: Vec<String>,
    written_at: Option<Duration>,
    was_ready: Option<bool>,
}

impl Node {
    pub fn new(
        config: Config,
        facts: Facts,
        client: Client,
        (recorder, clock, runtime, pressures): (Recorder, ClockRef, RuntimeSlot, Arc<Pressures>),
    ) -> Self {
        Self { config, facts, client, recorder, clock, runtime, pressures }
    }

    /// Registers the node and starts to keep its status and its lease.
    pub fn start(self, scope: &Scope) {
        let node = Arc::new(self);
        let renewing = node.clone();
        scope.spawn("node status", {
            let scope = scope.clone();
            async move {
                tokio::select! {
                    () = node.keep_status() => (),
                    () = scope.stopping() => (),
                }
            }
        });
        scope.spawn("node lease", {
            let scope = scope.clone();
            async move {
                tokio::select! {
                    () = renewing.keep_lease() => (),
                    () = scope.stopping() => (),
                }
            }
        });
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.wall_nanos())
    }

    async fn keep_status(&self) {
        while let Err(error) = self.register().await {
            tracing::warn!(%error, "cannot register the node");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        self.note("Starting", "Starting kubelet.");
        let mut looked = Looked::default();
        loop {
            let (readiness, pressure) = self.look(&mut looked).await;
            if let Err(error) = self.write(&mut looked, &readiness, pressure).await {
                tracing::warn!(%error, "cannot write the node's status");
            }
            let is_ready = readiness.is_ok();
            if looked.was_ready.replace(is_ready) != Some(is_ready) {
                let reason = if is_ready { "NodeReady" } else { "NodeNotReady" };
                self.note(reason, &format!("Node {} status is now: {reason}", self.config.node_name));
            }
            tokio::time::sleep(if is_ready { LOOK_PERIOD } else { UNREADY_LOOK_PERIOD }).await;
        }
    }

    fn note(&self, reason: &str, message: &str) {
        let name = &self.config.node_name;
        let regarding = Reference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: name.clone(),
            uid: name.clone(),
            ..Reference::default()
        };
        self.recorder.record(Note::normal(regarding, reason, message));
    }

    /// Makes the node's object, or puts its labels right if it exists.
    async fn register(&self) -> Result<(), Status> {
        let name = &self.config.node_name;
        for _ in 0..CONFLICTS_MAX {
            let Some(object) = self.client.find(&NODE, "", name).await? else {
                match self.client.create(&NODE, status::new_node(&self.config)).await {
                    Err(status) if status.is(Reason::AlreadyExists) => continue,
                    other => return other.map(drop),
                }
            };
            let labels = status::labels(&self.config);
            if labels.iter().all(|(key, value)| object.meta().label(key) == Some(value)) {
                return Ok(());
            }
            let mut tree = object.tree();
            for (key, value) in labels {
                tree["metadata"]["labels"][key] = value.into();
            }
            match self.client.update(&NODE, tree).await {
                Err(status) if status.is(Reason::Conflict) => continue,
                other => return other.map(drop),
            }
        }
        Err(Status::new(Reason::Conflict, "the node's object keeps changing"))
    }

    async fn look(&self, looked: &mut Looked) -> (Readiness, Pressure) {
        let pressure = self.pressures.at(self.clock.elapsed());
        let Some(cri) = self.runtime.get() else { return (Err("container runtime is down".into()), pressure) };
        let answer = match cri.status(false).await {
            Ok(answer) => answer,
            Err(error) => return (Err(format!("container runtime is down: {error}")), pressure),
        };
        if looked.runtime_version.is_empty()
            && let Ok(version) = cri.version("v1").await
        {
            looked.runtime_version = format!("{}://{}", version.runtime_name, version.runtime_version);
            looked.handlers = answer.runtime_handlers.iter().map(|handler| handler.name.clone()).collect();
        }
        let is_due = looked.images_at.is_none_or(|at| self.clock.elapsed() - at >= IMAGES_PERIOD);
        if is_due && let Ok(images) = cri.images().await {
            looked.images = images;
            looked.images_at = Some(self.clock.elapsed());
        }
        (runtime_readiness(&answer), pressure)
    }

    async fn write(&self, looked: &mut Looked, readiness: &Readiness, pressure: Pressure) -> Result<(), Status> {
        for _ in 0..CONFLICTS_MAX {
            let Some(object) = self.client.find(&NODE, "", &self.config.node_name).await? else {
                return self.register().await;
            };
            let mut tree = object.tree();
            let old = tree.at("status").cloned().unwrap_or_default();
            let handlers: Vec<Tree> = looked.handlers.iter().map(|name| json!({ "name": name })).collect();
            let parts = status::Parts {
                config: &self.config,
                capacity: json!(self.facts.capacity()),
                allocatable: json!(self.facts.allocatable()),
                info: facts::node_info(&looked.runtime_version, &self.config.version),
                images: &looked.images,
                handlers: handlers.into(),
            };
            let new = status::status(&old, parts, readiness, pressure, self.now());
            let is_due = looked.written_at.is_none_or(|at| self.clock.elapsed() - at >= WRITE_PERIOD);
            if !is_due && !status::says_more(&old, &new) {
                return Ok(());
            }
            tree.set("status", new);
            match self.client.update_status(&NODE, tree).await {
                Ok(_) => {
                    looked.written_at = Some(self.clock.elapsed());
                    return Ok(());
                }
                Err(status) if status.is(Reason::Conflict) => continue,
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }

    async fn keep_lease(&self) {
        loop {
            if let Err(error) = self.renew().await {
                tracing::warn!(%error, "cannot renew the node's lease");
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    async fn renew(&self) -> Result<(), Status> {
        let name = &self.config.node_name;
        if let Some(object) = self.client.find(&LEASE, LEASE_NAMESPACE, name).await? {
            let mut tree = object.tree();
            tree.set("spec.holderIdentity", name.as_str());
            tree.set("spec.leaseDurationSeconds", LEASE_SECONDS);
            tree.set("spec.renewTime", self.now().micros());
            if tree.items("metadata.ownerReferences").is_empty() {
                // The lease may be older than the node's object.
                self.own(&mut tree).await?;
            }
            return match self.client.update(&LEASE, tree).await {
                Err(status) if status.is(Reason::Conflict) => Ok(()),
                other => other.map(drop),
            };
        }
        let mut tree = json!({
            "metadata": { "name": name, "namespace": LEASE_NAMESPACE },
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": self.now().micros(),
            },
        });
        self.own(&mut tree).await?;
        self.client.create(&LEASE, tree).await.map(drop)
    }

    /// Makes the node's object, if there is one, the owner of its lease.
    async fn own(&self, lease: &mut Tree) -> Result<(), Status> {
        let name = &self.config.node_name;
        if let Some(node) = self.client.find(&NODE, "", name).await? {
            let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": name, "uid": node.meta().uid() });
            lease.set("metadata.ownerReferences", vec![owner]);
        }
        Ok(())
    }
}

/// Ready when the runtime is, and its network.
fn runtime_readiness(answer: &k8s_cri::v1::StatusResponse) -> Readiness {
    let conditions = answer.status.as_ref().map_or(&[][..], |status| &status.conditions);
    for (kind, words) in
        [("RuntimeReady", "container runtime not ready"), ("NetworkReady", "container runtime network not ready")]
    {
        let found = conditions.iter().find(|condition| condition.r#type == kind);
        match found {
            Some(condition) if condition.status => (),
            Some(condition) => {
                let (reason, message) = (&condition.reason, &condition.message);
                return Err(format!("{words}: {kind}=false reason:{reason} message:{message}"));
            }
            None => return Err(format!("{words}: {kind} is not known")),
        }
    }
    Ok(())
}
