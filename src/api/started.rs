//! What a start has come to, told under the names of upstream's start-up hooks.
//!
//! Only hooks that stand for something which happens here too are in the table; each is passed when that has
//! happened, and stays so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::health::Health;

/// What happens once in a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Requests are queued as the stored configuration says.
    Queues,
    /// Custom resources that are defined already are served.
    Definitions,
    /// What every cluster has is there, written by this server or another.
    Bootstrap,
    /// Each group that is served here has its APIService.
    OwnGroups,
    /// Requests for groups that others serve are led to them.
    OtherGroups,
    /// The others were asked what they serve, and have answered or not.
    Discovery,
}

/// In upstream's order.
const CHECKS: &[(&str, Step)] = &[
    ("poststarthook/priority-and-fairness-config-consumer", Step::Queues),
    ("poststarthook/start-apiextensions-controllers", Step::Definitions),
    ("poststarthook/crd-informer-synced", Step::Definitions),
    ("poststarthook/start-system-namespaces-controller", Step::Bootstrap),
    ("poststarthook/start-cluster-authentication-info-controller", Step::Bootstrap),
    ("poststarthook/start-legacy-token-tracking-controller", Step::Bootstrap),
    ("poststarthook/rbac/bootstrap-roles", Step::Bootstrap),
    ("poststarthook/scheduling/bootstrap-system-priority-classes", Step::Bootstrap),
    ("poststarthook/priority-and-fairness-config-producer", Step::Bootstrap),
    ("poststarthook/bootstrap-controller", Step::Bootstrap),
    ("poststarthook/start-kubernetes-service-cidr-controller", Step::Bootstrap),
    ("poststarthook/apiservice-status-local-available-controller", Step::OwnGroups),
    ("poststarthook/apiservice-status-remote-available-controller", Step::OtherGroups),
    ("poststarthook/apiservice-registration-controller", Step::OtherGroups),
    ("poststarthook/apiservice-wait-for-first-sync", Step::OtherGroups),
    ("poststarthook/apiservice-discovery-controller", Step::Discovery),
    ("poststarthook/kube-apiserver-autoregistration", Step::OwnGroups),
    ("autoregister-completion", Step::OwnGroups),
];

/// The steps that are behind. Clones share them.
#[derive(Clone, Default)]
pub struct Started(Arc<AtomicU8>);

impl Started {
    pub fn reached(&self, step: Step) {
        self.0.fetch_or(1 << step as u8, Ordering::Release);
    }

    fn check(&self, step: Step) -> Result<(), String> {
        match self.0.load(Ordering::Acquire) & (1 << step as u8) {
            0 => Err("not finished".into()),
            _ => Ok(()),
        }
    }

    /// From now on the health pages wait for every step.
    pub fn expect(&self, health: &Health) {
        for (name, step) in CHECKS {
            let started = self.clone();
            health.add(name, false, Box::new(move || started.check(*step)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_well_when_every_step_is_behind_it_and_says_which_is_not() {
        let (health, started) = (Health::default(), Started::default());
        started.expect(&health);
        use Step::*;
        for step in [Queues, Definitions, Bootstrap, OtherGroups, Discovery] {
            started.reached(step);
        }
        let page = health.answer("/livez", false, &[]).unwrap();
        let failing: Vec<&str> = page.text.lines().filter(|line| line.starts_with("[-]")).collect();
        assert_eq!(page.code, 500);
        assert_eq!(
            failing,
            [
                "[-]poststarthook/apiservice-status-local-available-controller failed: reason withheld",
                "[-]poststarthook/kube-apiserver-autoregistration failed: reason withheld",
                "[-]autoregister-completion failed: reason withheld",
            ]
        );
        started.reached(OwnGroups);
        for page in ["/healthz", "/livez", "/readyz", "/readyz/poststarthook/rbac/bootstrap-roles"] {
            assert_eq!(health.answer(page, false, &[]).unwrap().code, 200, "{page}");
        }
    }
}
