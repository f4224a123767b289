//! The loops of the control plane, on the server that leads.
//!
//! They run while this server leads and stop when it does not; what they wrote last is checked by
//! the store, so that a deposed leader's late writes come to nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::config::ServerConfig;
use super::signing::Signing;
use crate::base::clock::ClockRef;
use crate::base::fs::FileError;
use crate::base::rand::RandRef;
use crate::base::service::Scope;
use crate::client::{Backend, Cache, Client, Recorder};
use crate::controllers::CONTROLLERS;
use crate::controllers::addons::{Addons, Kinds, shipped};
use crate::controllers::autoscaler;
use crate::controllers::runtime::{self, Settings, SignerRef};
use crate::object::User;
use crate::scheduler;
use crate::security::pki::Pki;
use crate::store::Role;

const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What the loops are given.
pub struct Loops {
    pub backend: Arc<dyn Backend>,
    pub cache: Arc<Cache>,
    pub clock: ClockRef,
    pub rand: RandRef,
    pub settings: Settings,
    pub run_controllers: bool,
    pub run_scheduler: bool,
    pub kinds: Kinds,
    /// The folder of manifests, and whose it is.
    pub manifests: PathBuf,
    pub server: String,
}

impl Loops {
    pub fn of(
        config: &ServerConfig,
        backend: Arc<dyn Backend>,
        cache: Arc<Cache>,
        clock: ClockRef,
        rand: RandRef,
        pki: &Arc<Pki>,
        kinds: Kinds,
    ) -> Self {
        Self {
            backend,
            cache,
            clock,
            rand,
            settings: Settings {
                cluster_cidrs: config.network.cluster_cidrs.clone(),
                root_ca: pki.server_ca.pem().to_owned(),
                signer: Some(SignerRef(Arc::new(Signing(pki.clone())))),
            },
            run_controllers: config.run_controllers,
            run_scheduler: config.run_scheduler,
            kinds,
            manifests: manifests_folder(config),
            server: config.node.name.clone(),
        }
    }

    /// Runs the loops in `scope` whenever this server leads.
    pub fn follow_leadership(self, scope: &Scope, role: watch::Receiver<Role>) {
        let inner = scope.clone();
        scope.spawn("leadership", async move { self.lead(inner, role).await });
    }

    async fn lead(self, scope: Scope, mut role: watch::Receiver<Role>) {
        loop {
            let leading = tokio::select! {
                leading = role.wait_for(|role| matches!(role, Role::Leader { .. })) => leading.map(|role| *role),
                () = scope.stopping() => return,
            };
            let Ok(leading) = leading else { return };
            let loops = scope.child("loops");
            self.start(&loops);
            let deposed = tokio::select! {
                changed = role.wait_for(|role| *role != leading) => changed.is_ok(),
                () = scope.stopping() => false,
            };
            if !loops.stop(STOP_LIMIT).await {
                tracing::warn!("some loops of the control plane did not stop in time");
            }
            if !deposed {
                return;
            }
            tracing::info!("this server does not lead any more; its loops are stopped");
        }
    }

    fn start(&self, scope: &Scope) {
        if self.run_controllers {
            let user = User::named("system:kube-controller-manager", &["system:authenticated"]);
            let client = self.client(user, "kube-controller-manager");
            let recorder = Recorder::start(scope, client.clone(), self.clock.clone(), "kube-controller-manager", "");
            runtime::start(scope, &self.cache, &client, &recorder, self.settings.clone(), CONTROLLERS);
            autoscaler::start(scope, &self.cache, &client, &recorder);
            self.start_addons(scope, &recorder);
        }
        if self.run_scheduler {
            let user = User::named("system:kube-scheduler", &["system:authenticated"]);
            let client = self.client(user, "kube-scheduler");
            let recorder = Recorder::start(scope, client.clone(), self.clock.clone(), scheduler::NAME, "");
            scheduler::start(scope, &self.cache, &client, &recorder, &self.rand);
        }
    }

    fn start_addons(&self, scope: &Scope, recorder: &Recorder) {
        let user = User::named("system:skiff:addons", &["system:masters"]);
        let addons = Addons {
            client: self.client(user, "skiff-addons"),
            recorder: recorder.reporting_as("skiff-addons"),
            kinds: self.kinds.clone(),
            clock: self.clock.clone(),
            folder: self.manifests.clone(),
            server: self.server.clone(),
        };
        addons.start(scope);
    }

    fn client(&self, user: Arc<User>, agent: &str) -> Client {
        Client::new(self.backend.clone(), user, agent)
    }
}

fn manifests_folder(config: &ServerConfig) -> PathBuf {
    config.data_dir.join("server/manifests")
}

/// Lays what ships with skiff into the folder of manifests.
pub fn lay_out_manifests(config: &ServerConfig) -> Result<(), FileError> {
    for name in config.disabled.iter().filter(|name| !shipped::names().any(|known| known == *name)) {
        let known = shipped::names().collect::<Vec<_>>().join(", ");
        tracing::warn!(name, known, "--disable names no packaged component");
    }
    let network = &config.network;
    let values = [
        ("CLUSTER_DNS", network.cluster_dns.first().map_or_else(String::new, ToString::to_string)),
        ("CLUSTER_DOMAIN", network.cluster_domain.clone()),
    ];
    shipped::lay_out(&manifests_folder(config), |name| config.disabled.contains(name), &values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::authz::bootstrap;

    #[test]
    fn every_controller_has_a_role_of_its_name() {
        let roles: Vec<String> = bootstrap::objects().iter().map(|(key, _)| key.name().to_owned()).collect();
        for controller in CONTROLLERS.iter().filter(|controller| !controller.name.starts_with("system:")) {
            let role = format!("system:controller:{}", controller.name);
            assert!(roles.contains(&role), "there is no {role}: the controller may do nothing");
        }
    }
}
