//! `phase`: one word for where a pod is in its life.

use super::containers::{Shown, Told};
use crate::kubelet::spec::{Pod, Role};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Something has not been started for the first time yet.
    Pending,
    /// At least one container runs, or is about to run again.
    Running,
    /// All ended well and stay ended.
    Succeeded,
    /// All ended, at least one badly, and stay ended.
    Failed,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed].into_iter().find(|phase| phase.as_str() == text)
    }

    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// The phase that these container statuses amount to. `is_over`: nothing will be restarted.
pub fn phase_of(pod: &Pod, told: &[Told], is_over: bool) -> Phase {
    let restarts = |name: &str, code: i32| {
        let of_pod = pod.restart_policy();
        pod.container(name).map_or_else(|| of_pod.restarts(code), |(_, container)| container.restarts(of_pod, code))
    };
    let of_role = |role: Role| told.iter().filter(move |one| one.role == role);
    let init = || of_role(Role::Init).filter(|one| !one.is_sidecar);
    let sidecars = || of_role(Role::Init).filter(|one| one.is_sidecar);
    let main = || of_role(Role::Main);

    let init_failed =
        init().any(|one| one.last_exit().is_some_and(|exit| exit.code != 0 && !restarts(&one.name, exit.code)));
    if init_failed {
        return Phase::Failed;
    }
    let main_began = main().any(|one| one.is_running() || one.last_exit().is_some());
    let never_ran = |one: &Told| matches!(one.now, Shown::Waiting(_)) && one.before.is_none();
    let init_pending = init().any(|one| one.is_running() || never_ran(one))
        || (!main_began && sidecars().any(|one| never_ran(one) || (one.is_running() && !one.is_started)));
    if init_pending || main().chain(sidecars()).any(never_ran) {
        return Phase::Pending;
    }
    if main().chain(sidecars()).any(Told::is_running) {
        return Phase::Running;
    }
    let exits = || main().filter_map(|one| Some((&one.name, one.last_exit()?.code)));
    if exits().next().is_none() {
        return Phase::Pending;
    }
    if !is_over && exits().any(|(name, code)| restarts(name, code)) {
        return Phase::Running;
    }
    if exits().all(|(_, code)| code == 0) { Phase::Succeeded } else { Phase::Failed }
}
